"""From preferences in the catalog to a registered model, with a trainer that only notes what it was given."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from retrieval_fakes import published

from infra.adapters.catalog.database import engine_for
from infra.adapters.catalog.labels import CatalogLabels
from infra.adapters.catalog.training import CatalogTrainings
from infra.adapters.folder_artifacts import FolderArtifacts
from tasks.core.contributors import ShareLimit
from tasks.core.errors import GoldenLeak, LossDiverged, NotEnoughLabels
from tasks.core.fingerprints import collection_name
from tasks.core.label_import import LabelChanges
from tasks.core.labels import Label, Split
from tasks.core.opinions import Preference, Rating
from tasks.core.ports import Progress, TrainedModel
from tasks.core.preference_rows import PreferenceRow
from tasks.core.prompts import default_prompt
from tasks.core.releases import ModelRef, RetrievalSettings, SnapshotRef
from tasks.datasets import Dataset, export_dataset, opinion_lines
from tasks.preferences import PreferenceBench, RenderedOpinions, enough_opinions, learn_and_register, render_opinions
from tasks.training import Lineage, TrainingBench
from tasks.training_records import MANIFEST

SNAPSHOT = SnapshotRef(number=1, manifest_hash="m", collection=collection_name("default", "words-1"))
PROMPT = default_prompt("The handbook does not say.")
PUMPS = 6
PAGE = "# Pump {0}\n\nPump {0} runs at up to {0}0 bar."


@dataclass
class NotingTrainer:
    """LearnsPreferences whose model has the name it was given."""

    fingerprint: str = "dpo-noting"
    adapter: str = "sha256-noting"
    preferred: list[tuple[Sequence[PreferenceRow], Sequence[PreferenceRow]]] = field(default_factory=list)

    def prefer(
        self,
        rows: Sequence[PreferenceRow],
        validation: Sequence[PreferenceRow],
        workdir: Path,
        progress: Progress | None = None,
    ) -> TrainedModel:
        self.preferred.append((rows, validation))
        ref = ModelRef(kind="lora", base="tiny", base_digest="sha256-0", adapter=self.adapter)
        return TrainedModel(ref, {"loss": 0.5}, 1.5)


def preference(n: int, split: Split = "train") -> Preference:
    asked = f"At how many bar does pump {n} run?"
    return Preference(f"p-{n}", asked, f"Pump {n} runs at {n}0 bar.", "Rather a lot!", (f"p{n}.md",), split, "accepted")


@pytest.fixture
def bench(tmp_path: Path) -> PreferenceBench:
    retrieval, _ = published(tmp_path, {f"p{n}.md": PAGE.format(n) for n in range(PUMPS)})
    engine = engine_for(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    training = TrainingBench(
        assistant="default",
        labels=CatalogLabels(engine),
        trainings=CatalogTrainings(engine),
        retrieval=retrieval,
        trainer=None,  # type: ignore[arg-type]  # nothing here trains on labels
        workdir=tmp_path / "trainings",
        threshold=100,
        artifacts=FolderArtifacts(tmp_path / "artifacts"),
    )
    golden = Label("l-0", "At how many bar does pump 0 run?", "00 bar.", ("p0.md",), False, (), "golden", "accepted")
    known = (preference(1, "validation"), *(preference(n) for n in range(2, PUMPS)))
    training.labels.change("default", lambda _: LabelChanges(added=(golden,), opinions_added=known))
    return PreferenceBench(training, NotingTrainer())


def rendered(bench: PreferenceBench) -> RenderedOpinions:
    return render_opinions(bench, SNAPSHOT, PROMPT, RetrievalSettings(k=2))


def test_preferences_become_pairs_become_a_registered_model_that_consumes_them(bench: PreferenceBench) -> None:
    assert enough_opinions(bench.training, "dpo", PUMPS - 2).train
    report = learn_and_register(bench, rendered(bench))
    lineage = report.model.lineage
    assert lineage.label_ids == tuple(f"p-{n}" for n in range(2, PUMPS))
    assert (lineage.method, lineage.trainer, lineage.rows) == ("dpo", "dpo-noting", PUMPS - 2)
    assert bench.training.trainings.models("default")[0].lineage == lineage  # as the catalog kept it
    after = enough_opinions(bench.training, "dpo", PUMPS - 2)
    assert (after.train, after.new) == (False, 0)


def test_too_few_preferences_are_refused_with_the_numbers_unless_forced(bench: PreferenceBench) -> None:
    decision = enough_opinions(bench.training, "dpo", 10)
    assert not decision.train
    assert "4 new preferences of 4 accepted ones, and 10 are asked for: 6 are missing" in decision.reason
    assert enough_opinions(bench.training, "dpo", 10, force=True).train


def test_pairs_are_shown_no_golden_page_and_those_of_validation_are_not_trained_on(bench: PreferenceBench) -> None:
    pairs = rendered(bench)
    learn_and_register(bench, pairs)
    [(train, validation)] = bench.trainer.preferred  # type: ignore[attr-defined]
    assert [row.label_id for row in train] == [f"p-{n}" for n in range(2, PUMPS)]
    assert [row.label_id for row in validation] == ["p-1"]
    assert all("Pump 0" not in row.prompt[-1].content for row in (*train, *validation))


def test_the_pairs_are_kept_by_the_hash_in_the_lineage(bench: PreferenceBench, tmp_path: Path) -> None:
    pairs = rendered(bench)
    lineage = learn_and_register(bench, pairs).model.lineage
    assert bench.training.artifacts is not None
    assert lineage.dataset is not None
    kept = Dataset(lineage.dataset, str(lineage.dataset_artifact))
    assert export_dataset(bench.training.artifacts, kept, tmp_path / "rows.jsonl") == PUMPS - 1
    lines = b"".join(opinion_lines(pairs.train, pairs.validation))
    assert hashlib.sha256(lines).hexdigest() == lineage.dataset
    assert (lineage.metrics, lineage.started_from) == ({"loss": 0.5}, None)
    record = json.loads((bench.training.artifacts.path(str(lineage.record)) / MANIFEST).read_text())
    assert record["dataset"] == lineage.dataset


def test_the_same_preferences_again_train_nothing(bench: PreferenceBench, tmp_path: Path) -> None:
    assert bench.training.artifacts is not None
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "adapter.json").write_text("{}")
    bench = replace(bench, trainer=NotingTrainer(adapter=bench.training.artifacts.put(tmp_path / "made")))
    first, second = (learn_and_register(bench, rendered(bench)) for _ in range(2))
    assert second.model == first.model
    assert second.seconds == 0
    assert len(bench.trainer.preferred) == 1  # type: ignore[attr-defined]


class FailingTrainer(NotingTrainer):
    def prefer(self, *_: object, **__: object) -> TrainedModel:
        raise LossDiverged("The loss is NaN.")


def test_a_failed_training_consumes_no_preference(bench: PreferenceBench) -> None:
    failing = replace(bench, trainer=FailingTrainer())
    with pytest.raises(LossDiverged):
        learn_and_register(failing, rendered(bench))
    decision = enough_opinions(bench.training, "dpo", PUMPS - 2)
    assert (decision.train, decision.new) == (True, PUMPS - 2)


def test_what_the_adapter_it_began_with_learned_is_in_the_new_one_too(bench: PreferenceBench) -> None:
    lineage = Lineage("t-1", "lora-1", SNAPSHOT, ("l-7",), 1, {})
    tuned = ModelRef(kind="lora", base="tiny", base_digest="sha256-0", adapter="sha256-tuned")
    bench.training.trainings.succeed("default", tuned, lineage)
    report = learn_and_register(replace(bench, start="sha256-tuned"), rendered(bench))
    assert report.model.lineage.started_from == "sha256-tuned"
    assert isinstance(bench.training.trainings, CatalogTrainings)
    trained_on = bench.training.trainings.trained_on
    own = {f"p-{n}" for n in range(2, PUMPS)}
    assert trained_on("default", report.model.ref) == own | {"l-7"}
    unknown = replace(bench, start="sha256-lost", trainer=NotingTrainer("dpo-2", "sha256-other"))
    assert trained_on("default", learn_and_register(unknown, rendered(bench)).model.ref) is None


def rating(n: int, value: float) -> Rating:
    said = f"Pump {n} runs at {n}0 bar." if value else "Ask somebody else."
    asked = f"At how many bar does pump {n} run?"
    return Rating(f"v-{n}-{value:.0f}", asked, said, value, (f"p{n}.md",), "train", "accepted")


def test_ratings_become_a_model_of_their_own_and_leave_preferences_alone(bench: PreferenceBench) -> None:
    rated = tuple(rating(n, value) for n in (2, 3) for value in (0.0, 1.0))
    bench.training.labels.change("default", lambda _: LabelChanges(opinions_added=rated))
    ratings = replace(bench, method="kto")
    lineage = learn_and_register(ratings, rendered(ratings)).model.lineage
    assert (lineage.method, lineage.rows, lineage.label_ids) == ("kto", 4, tuple(one.id for one in rated))
    assert enough_opinions(bench.training, "kto", 1).new == 0
    assert enough_opinions(bench.training, "dpo", 1).new == PUMPS - 2


def test_one_contributor_gives_only_their_share_of_what_is_trained_on_and_the_run_says_so(
    bench: PreferenceBench,
) -> None:
    def by(who: str | None, name: str, n: int, value: float) -> Rating:
        return replace(rating(n, value), id=f"v-{name}", contributor=who)

    anns = [by("ann", f"{n}{value:.0f}", n, value) for n in (2, 3, 4, 5) for value in (0.0, 1.0)]
    bobs = [by("bob", "b0", 2, 0.0), by("bob", "b1", 3, 1.0)]
    untaught = replace(by("cyd", "c", 4, 1.0), answer="Nothing says that.")
    given = tuple(reversed([*anns, *bobs, untaught]))
    bench.training.labels.change("default", lambda _: LabelChanges(opinions_added=given))
    limited = replace(bench.training, share=ShareLimit(0.5, minimum=1))
    ratings = replace(bench, training=limited, method="kto")

    decision = enough_opinions(limited, "kto", 7)  # 3 of bob and cyd allow 3 of ann
    assert (decision.train, decision.new) == (False, 6)
    assert "Left out: 5 of ann; of the 6 that stay nobody may have given more than 3" in decision.reason
    rows = rendered(ratings)
    assert [row.label_id for row in rows.train] == ["v-20", "v-21", "v-b0", "v-b1"]  # cyd's made no row: 2 of 4
    assert "5 of 6 accepted ratings can be taught" in rows.sentence
    assert "Left out: 1 of ann; of the 4 that stay" in rows.sentence
    assert rendered(ratings) == rows

    made = learn_and_register(ratings, rows)
    assert (made.examples, made.model.lineage.rows) == (4, 4)
    assert enough_opinions(limited, "kto", 1).new == 0  # or what is left out would ask for a training for ever
    assert enough_opinions(bench.training, "kto", 1).new == 5


def test_ratings_of_one_kind_are_no_training(bench: PreferenceBench) -> None:
    bench.training.labels.change("default", lambda _: LabelChanges(opinions_added=(rating(2, 1.0),)))
    ratings = replace(bench, method="kto")
    with pytest.raises(NotEnoughLabels, match=r"1 are good and 0 bad\. KTO wants both"):
        learn_and_register(ratings, rendered(ratings))


def test_preferences_that_no_document_answers_are_no_training(bench: PreferenceBench) -> None:
    nothing = replace(rendered(bench), train=())
    with pytest.raises(NotEnoughLabels, match="0 of 4 accepted preferences"):
        learn_and_register(bench, nothing)


def test_a_preference_about_a_golden_page_stops_before_anything_is_rendered(bench: PreferenceBench) -> None:
    leak = replace(preference(9), question="Who paints it?", documents=("p0.md",))
    bench.training.labels.change("default", lambda _: LabelChanges(opinions_added=(leak,)))
    with pytest.raises(GoldenLeak):
        rendered(bench)
