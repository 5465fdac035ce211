"""What trainings on preferences and ratings keep outlives every vacuum while a row names it, and no longer."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from evaluation_fakes import golden_labels, manifest, perfect
from sqlalchemy import delete
from vacuum_fakes import HOUR, World, foresee_vacuum, new_world, page, vacuum

from infra.adapters.catalog import tables as t
from infra.adapters.catalog.hosted_jobs import CatalogHostedJobs
from infra.adapters.catalog.labels import CatalogLabels
from infra.adapters.catalog.training import CatalogTrainings
from infra.adapters.folder_artifacts import FolderArtifacts
from tasks.core.candidates import reference
from tasks.core.errors import LossDiverged
from tasks.core.hosted_jobs import HostedJob
from tasks.core.label_import import LabelChanges
from tasks.core.opinions import Preference, Rating
from tasks.core.ports import Progress, TrainedModel
from tasks.core.prompts import default_prompt
from tasks.core.releases import ModelRef, RetrievalSettings, SnapshotRef
from tasks.core.taught_rows import OpinionMethod, TaughtRow
from tasks.datasets import keep_lines
from tasks.hosted_aftercare import save_golden_answers
from tasks.preferences import PreferenceBench, learn_and_register, render_opinions
from tasks.training import Lineage, RegisteredModel, TrainingBench

ASKED = "At which bar does valve 0-1 of model 1 open?"
GOOD, BAD = "Valve 0-1 of model 1 opens at 1 bar.", "Ask somebody else."
OPINIONS = (
    Preference("p-1", ASKED, GOOD, BAD, ("page-0.md",), "train", "accepted"),
    *(Rating(f"v-{v:.0f}", ASKED, said, v, ("page-0.md",), "train", "accepted") for v, said in ((1, GOOD), (0, BAD))),
)


@dataclass
class WritingTrainer:
    """LearnsPreferences whose adapter is a file that says how it came to be."""

    artifacts: FolderArtifacts
    fingerprint: str
    fails: bool = False

    def prefer(
        self,
        rows: Sequence[TaughtRow],
        validation: Sequence[TaughtRow],
        workdir: Path,
        progress: Progress | None = None,
    ) -> TrainedModel:
        folder = workdir / "adapter"
        folder.mkdir(parents=True)
        (folder / "adapter.json").write_text(json.dumps([self.fingerprint, len(rows)]))
        if self.fails:
            raise LossDiverged("The loss is NaN.")
        ref = ModelRef(kind="lora", base="tiny", base_digest="sha256-0", adapter=self.artifacts.put(folder))
        return TrainedModel(ref, {}, 1.0, curves={"training": ((1, 0.5),)}, origin={"trainer": self.fingerprint})


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = new_world(tmp_path)
    world.publish({"page-0.md": page(0, 1)})
    CatalogLabels(world.engine).change("default", lambda _: LabelChanges(opinions_added=OPINIONS))
    return world


@pytest.fixture
def store(world: World) -> FolderArtifacts:
    return FolderArtifacts(world.folder / "artifacts")


Learn = Callable[..., RegisteredModel]


@pytest.fixture
def learn(world: World, store: FolderArtifacts) -> Learn:
    return learning(world, store)


def learning(world: World, store: FolderArtifacts) -> Learn:
    """Trains from the adapter that is named, through the steps of the flow."""
    snapshot = world.docs.catalog.published("default")
    assert snapshot is not None
    training = TrainingBench(
        assistant="default",
        labels=CatalogLabels(world.engine),
        trainings=CatalogTrainings(world.engine),
        retrieval=world.probing.retrieval,
        trainer=None,  # type: ignore[arg-type]  # nothing here trains on labels
        workdir=world.folder / "trainings",
        threshold=100,
        artifacts=store,
    )

    def learned(method: OpinionMethod, start: str | None, *, fails: bool = False) -> RegisteredModel:
        bench = PreferenceBench(training, WritingTrainer(store, f"{method}-{start}", fails), start, method)
        rows = render_opinions(bench, reference(snapshot), default_prompt("No."), RetrievalSettings(k=2))
        return learn_and_register(bench, rows).model

    return learned


def a_day_later(world: World) -> list[str]:
    """What a vacuum takes once the grace is over."""
    for path in sorted((*world.folder.rglob("artifacts/**/*"), *world.folder.rglob("trainings/**/*")), reverse=True):
        at = path.stat().st_mtime - 25 * HOUR
        os.utime(path, (at, at))
    return [leftover.name for leftover in vacuum(world).leftovers]


def kept(model: RegisteredModel) -> set[str]:
    """The adapter, its rows, and its curves with the manifest."""
    lineage = model.lineage
    assert lineage.dataset_artifact
    assert lineage.record
    return {model.id, lineage.dataset_artifact, lineage.record}


def forget(world: World, model: RegisteredModel) -> None:
    with world.engine.begin() as connection:
        connection.execute(delete(t.models).where(t.models.c.id == model.id))


def test_adapters_rows_and_curves_stay_while_a_model_names_them_and_go_after(
    world: World, store: FolderArtifacts, learn: Learn
) -> None:
    preferred = learn("dpo", None)
    rated = learn("kto", preferred.id)
    assert rated.lineage.started_from == preferred.id
    done = {preferred.lineage.training, rated.lineage.training}
    assert set(a_day_later(world)) == done  # their work folders: whatever is worth keeping is an artifact
    assert all(map(store.exists, kept(preferred) | kept(rated)))

    forget(world, preferred)  # the later adapter still says that it began with the earlier one
    assert set(a_day_later(world)) == kept(preferred) - {preferred.id}
    assert all(map(store.exists, {preferred.id} | kept(rated)))

    forget(world, rated)
    assert set(a_day_later(world)) == {preferred.id} | kept(rated)
    assert not any(map(store.exists, kept(preferred) | kept(rated)))


def test_a_served_adapter_stays_though_no_model_names_it(world: World, store: FolderArtifacts, learn: Learn) -> None:
    preferred = learn("dpo", None)
    row = world.register()
    tuned = world.releases.register(row.manifest.model_copy(update={"model": preferred.ref}), "trained")
    forget(world, preferred)
    assert preferred.id not in a_day_later(world)
    assert store.exists(preferred.id)
    with world.engine.begin() as connection:
        connection.execute(delete(t.releases).where(t.releases.c.id == tuned.id))
    assert a_day_later(world) == [preferred.id]


def serve(world: World, model: RegisteredModel, changed: str) -> str:
    """A release of the model on new documents, promoted; its id."""
    world.publish({"page-1.md": changed})
    tuned = world.releases.register(world.register(changed).manifest.model_copy(update={"model": model.ref}), "trained")
    assert world.promote(tuned.id)
    return tuned.id


def test_an_adapter_goes_with_the_last_release_that_could_be_asked(tmp_path: Path) -> None:
    world = new_world(tmp_path, keep_releases=1)
    world.publish({"page-0.md": page(0, 1)})
    CatalogLabels(world.engine).change("default", lambda _: LabelChanges(opinions_added=OPINIONS))
    store = FolderArtifacts(world.folder / "artifacts")
    learn = learning(world, store)
    first, second = learn("dpo", None), learn("kto", None)
    serve(world, first, page(0, 2))
    serve(world, second, page(0, 3))
    assert not {first.id, second.id} & set(a_day_later(world))  # a rollback can return to the first
    serve(world, second, page(0, 4))
    serve(world, second, page(0, 5))
    foreseen = {leftover.name for leftover in foresee_vacuum(world).leftovers}
    taken = set(a_day_later(world))
    assert first.id in taken
    assert foreseen == taken
    assert store.exists(second.id)
    assert all(map(store.exists, kept(first) - {first.id}))  # what it was trained on can still be exported

    again = learn("dpo", None)
    assert (again.id, store.exists(first.id)) == (first.id, True)  # the same training gives it once more


def test_an_adapter_of_the_past_stays_while_another_assistant_has_yet_to_release_it(tmp_path: Path) -> None:
    world = new_world(tmp_path, keep_releases=1)
    world.publish({"page-0.md": page(0, 1)})
    CatalogLabels(world.engine).change("default", lambda _: LabelChanges(opinions_added=OPINIONS))
    store, trainings = FolderArtifacts(world.folder / "artifacts"), CatalogTrainings(world.engine)
    learn = learning(world, store)
    first, second = learn("dpo", None), learn("kto", None)
    curves = keep_lines(store, [b'{"loss": 0.5}\n']).artifact  # of the other's own training
    trainings.start("other", "t-1", [])
    shared = trainings.succeed("other", first.ref, replace(first.lineage, training="t-1", record=curves))
    serve(world, first, page(0, 2))
    assert not (kept(first) | kept(shared)) & set(a_day_later(world))
    for version in (3, 4, 5):
        serve(world, second, page(0, version))
    foreseen = {leftover.name for leftover in foresee_vacuum(world).leftovers}
    taken = set(a_day_later(world))
    assert foreseen == taken
    assert not (kept(first) | kept(shared)) & taken


def test_a_model_that_nobody_judged_outlives_the_documents_of_its_release(world: World, learn: Learn) -> None:
    preferred = learn("dpo", None)
    tuned = world.releases.register(world.register().manifest.model_copy(update={"model": preferred.ref}), "trained")
    for version in range(2, 10):
        world.serve({"page-0.md": page(0, version)}, f"Answer {version}.")
    assert preferred.id not in a_day_later(world)
    assert tuned.manifest.snapshot.number in world.docs.catalog.reclaimed("default")


@pytest.mark.parametrize(("verdicts", "stays"), [(("HOLD", "PROMOTE"), True), (("PROMOTE", "HOLD"), False)])
def test_the_last_verdict_on_a_release_says_whether_its_model_is_taken_up_again(
    world: World, learn: Learn, verdicts: Sequence[str], stays: bool
) -> None:
    preferred = learn("dpo", None)
    tuned = world.releases.register(world.register().manifest.model_copy(update={"model": preferred.ref}), "trained")
    row = {"assistant": "default", "release": tuned.id, "summary": {}, "created_at": "2026-01-01"}
    with world.engine.begin() as connection:
        for seq, verdict in enumerate(verdicts):
            connection.execute(t.evaluations.insert().values(**row, id=f"sha256-{seq}", seq=seq, verdict=verdict))
    for version in range(2, 10):
        world.serve({"page-0.md": page(0, version)}, f"Answer {version}.")
    assert (preferred.id not in a_day_later(world)) is stays


def test_a_training_that_failed_keeps_its_work_until_it_has_succeeded(world: World, learn: Learn) -> None:
    with pytest.raises(LossDiverged):
        learn("kto", None, fails=True)
    assert a_day_later(world) == []
    [work] = (world.folder / "trainings").iterdir()
    (work / "adapter" / "adapter.json").unlink()
    (work / "adapter").rmdir()
    assert learn("kto", None).lineage.training == work.name
    assert a_day_later(world) == [work.name]


def test_rows_of_a_job_at_a_vendor_stay_while_it_goes_on_and_go_when_it_made_no_model(
    world: World, store: FolderArtifacts
) -> None:
    jobs, trainings = CatalogHostedJobs(world.engine), CatalogTrainings(world.engine)
    kept = keep_lines(store, [b'{"label": "l-1"}\n'])
    snapshot = SnapshotRef(number=1, manifest_hash="m", collection="c")
    begun = Lineage("t-1", "hosted-1", snapshot, ("l-1",), 1, {}, kept.hash, kept.artifact)
    trainings.start("default", "t-1", ["l-1"], begun)
    trainings.fail("default", "t-1", "HostedJobWaiting: it goes on")
    job = HostedJob("default", "t-1", "gpt", "supervised", 1, 0.0, 0.0, ("sha",), state="running", job="ftjob-1")
    jobs.change("default", "t-1", lambda *_: job)
    assert a_day_later(world) == []
    jobs.change("default", "t-1", lambda *_: replace(job, state="succeeded", model="ft:x"))  # and nobody registered it
    assert a_day_later(world) == []
    jobs.change("default", "t-1", lambda *_: replace(job, state="failed"))
    assert a_day_later(world) == [kept.artifact]


def test_every_save_of_a_dying_models_answers_stays_while_a_row_names_it(world: World, store: FolderArtifacts) -> None:
    labels, jobs = golden_labels(3, 1), CatalogHostedJobs(world.engine)
    first = manifest().model_copy(update={"model": ModelRef(kind="hosted", base="ft:dying", base_digest="")})
    second = first.model_copy(update={"retrieval": first.retrieval.model_copy(update={"k": 3})})
    by_question = {label.question: perfect(label) for label in labels}

    def answers(questions: Sequence[str]) -> list[object]:
        return [by_question[question] for question in questions]

    saved = [
        save_golden_answers(jobs, release, labels, answers, store, world.folder / "work")  # type: ignore[arg-type]
        for release in (first, second, second)
    ]
    assert len(set(saved)) == 2
    assert a_day_later(world) == []  # no job here made this model, and the second release's did not replace the first's
    with world.engine.begin() as connection:
        connection.execute(delete(t.saved_answers).where(t.saved_answers.c.release == first.id))
    assert a_day_later(world) == [saved[0]]
    assert store.exists(saved[1])
