"""From labels in the catalog to a registered model, with a trainer that only notes what it was given."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from retrieval_fakes import published

from infra.adapters.catalog.database import engine_for
from infra.adapters.catalog.labels import CatalogLabels
from infra.adapters.catalog.leases import CatalogLeases
from infra.adapters.catalog.training import CatalogTrainings
from infra.adapters.folder_artifacts import FolderArtifacts
from tasks.core.errors import GoldenLeak, ModelUnavailable
from tasks.core.fingerprints import collection_name
from tasks.core.label_import import LabelChanges
from tasks.core.labels import Label, Split
from tasks.core.ports import Progress, TrainedModel, TrainingRow
from tasks.core.prompts import default_prompt
from tasks.core.releases import ModelRef, RetrievalSettings, SnapshotRef
from tasks.core.retraining import RetrainTiming
from tasks.core.training_rows import RowSettings
from tasks.datasets import Dataset, dataset_lines, export_dataset
from tasks.training import (
    RenderedRows,
    TrainingBench,
    decide,
    freeze_labels,
    render_rows,
    tuned_prompt,
)
from tasks.training_records import MANIFEST
from tasks.training_runs import train_and_register

SNAPSHOT = SnapshotRef(number=1, manifest_hash="m", collection=collection_name("default", "words-1"))
PROMPT = tuned_prompt(default_prompt("The handbook does not say."))
PUMPS = 10
GOLDEN_PAGE = "pumps/0.md"
PAGE = "# Pump {0}\n\nPump {0} runs at up to {0}0 bar.\n\n# Care of pump {0}\n\nIts seal is waxed in month {0}."


@dataclass
class NotingTrainer:
    """Trainer whose model is named after its rows."""

    error: Exception | None = None
    trained: list[tuple[Sequence[TrainingRow], Path]] = field(default_factory=list)

    fingerprint = "noting-1"

    def train(
        self,
        rows: Sequence[TrainingRow],
        validation: Sequence[TrainingRow],
        workdir: Path,
        progress: Progress | None = None,
    ) -> TrainedModel:
        if self.error:
            raise self.error
        self.trained.append((rows, workdir))
        ref = ModelRef(kind="lora", base="tiny", base_digest="sha256-0", adapter=f"sha256-{len(rows)}")
        return TrainedModel(ref, {"loss": 0.5}, 1.5)


def label(n: int, split: Split, question: str = "") -> Label:
    asked = question or f"At how many bar does pump {n} run?"
    return Label(f"l-{n}", asked, f"Pump {n} runs at {n}0 bar.", (f"pumps/{n}.md",), False, (), split, "accepted")


LABELS = [label(0, "golden"), label(1, "validation"), *(label(n, "train") for n in range(2, PUMPS))]


@pytest.fixture
def bench(tmp_path: Path) -> TrainingBench:
    retrieval, _ = published(tmp_path, {f"pumps/{n}.md": PAGE.format(n) for n in range(PUMPS)})
    engine = engine_for(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    made = TrainingBench(
        assistant="default",
        labels=CatalogLabels(engine),
        trainings=CatalogTrainings(engine),
        retrieval=retrieval,
        trainer=NotingTrainer(),
        workdir=tmp_path / "trainings",
        threshold=PUMPS - 2,
    )
    add(made, *LABELS)
    return made


def add(bench: TrainingBench, *labels: Label) -> None:
    changes: Callable[[Sequence[Label]], LabelChanges] = lambda _: LabelChanges(added=labels)  # noqa: E731
    CatalogLabels(bench.labels._engine).change("default", changes)  # type: ignore[attr-defined]


def rendered(bench: TrainingBench) -> RenderedRows:
    return render_rows(bench, freeze_labels(bench), SNAPSHOT, PROMPT, RetrievalSettings(k=2))


def test_labels_become_rows_become_a_registered_model_that_consumes_them(bench: TrainingBench) -> None:
    assert decide(bench).train
    rows = rendered(bench)
    report = train_and_register(bench, rows)
    assert report.model.ref.adapter == f"sha256-{len(rows.train)}"
    assert report.examples == len(rows.train)
    assert report.model.lineage.label_ids == tuple(f"l-{n}" for n in range(2, PUMPS))
    assert report.model.lineage.snapshot == SNAPSHOT
    assert not decide(bench).train
    assert decide(bench).new == 0


def test_of_two_at_once_one_trains_and_the_other_waits_by_name_for_its_model(bench: TrainingBench) -> None:
    rows = rendered(bench)
    begun, may_end, waits = threading.Event(), threading.Event(), threading.Event()
    said: list[str] = []

    class SlowTrainer(NotingTrainer):
        def train(self, *given: Any) -> TrainedModel:
            begun.set()
            may_end.wait(60)
            return super().train(*given)

    def hear(what: str, done: int, total: int) -> None:
        said.append(what)
        waits.set()

    trainer = SlowTrainer()
    both = replace(bench, trainer=trainer, leases=CatalogLeases(bench.trainings._engine))  # type: ignore[attr-defined]
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(train_and_register, both, rows)
        begun.wait(60)
        second = pool.submit(train_and_register, both, rows, hear)
        waits.wait(60)
        may_end.set()
        made, found = first.result(60), second.result(60)
    assert said[0].startswith(f"waiting: process {os.getpid()} on ")
    assert said[-1] == "waiting: the other training is over"
    assert len(trainer.trained) == 1
    assert (found.model, found.seconds) == (made.model, 0.0)


def test_two_assistants_that_train_on_the_same_take_turns_in_the_one_work_folder(bench: TrainingBench) -> None:
    rows = rendered(bench)
    inside: list[Path] = []
    together: list[bool] = []
    waits = threading.Event()

    class WatchingTrainer(NotingTrainer):
        def train(self, *given: Any) -> TrainedModel:
            inside.append(given[2])
            waits.wait(2)
            together.append(len(inside) > 1)
            inside.pop()
            return super().train(*given)

    ours = replace(bench, trainer=WatchingTrainer(), leases=CatalogLeases(bench.trainings._engine))  # type: ignore[attr-defined]
    theirs = replace(ours, assistant="other")
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(train_and_register, one, rows, lambda *_: waits.set()) for one in (ours, theirs)]
        made = [run.result(60) for run in runs]
    assert together == [False, False]
    assert made[0].model.ref == made[1].model.ref
    assert [len(bench.trainings.models(name)) for name in ("default", "other")] == [1, 1]


def test_rows_without_passages_are_made_of_training_labels_alone(bench: TrainingBench) -> None:
    asked = replace(bench, rows=RowSettings(closed_book_fraction=0.4))
    rows, study = rendered(asked), {one.question: one.id for one in LABELS if one.split == "train"}
    closed = [row for row in rows.train if row.prompt[-1].content.startswith("No passages")]
    assert len(closed) == round(0.4 * len(rows.train))
    assert all(study[row.prompt[-1].content.rpartition("Question: ")[2]] == row.label_id for row in closed)
    assert rows.validation == rendered(bench).validation


def test_no_golden_label_or_page_is_in_any_row(bench: TrainingBench) -> None:
    rows = rendered(bench)
    for row in (*rows.train, *rows.validation):
        assert row.label_id != "l-0"
        assert "Pump 0" not in row.prompt[-1].content


def test_validation_rows_are_of_validation_labels_and_train_on_nothing(bench: TrainingBench) -> None:
    rows = rendered(bench)
    assert {row.label_id for row in rows.validation} == {"l-1"}
    assert "l-1" not in {row.label_id for row in rows.train}
    assert "l-1" not in rows.label_ids


def test_every_label_is_answered_in_the_contexts_the_bench_asks_for(bench: TrainingBench) -> None:
    rows = rendered(replace(bench, rows=replace(bench.rows, contexts=2, abstain_fraction=0)))
    assert Counter(row.label_id for row in rows.train) == {f"l-{n}": 2 for n in range(2, PUMPS)}


def test_as_many_passages_are_shown_as_the_release_retrieves(bench: TrainingBench) -> None:
    labels = freeze_labels(bench)
    rows = render_rows(bench, labels, SNAPSHOT, PROMPT, RetrievalSettings(k=3))
    assert all("\n\n[3] " in row.prompt[-1].content for row in rows.train)


def test_rows_show_the_neighbours_that_a_release_would_join(bench: TrainingBench) -> None:
    plain = "] Pump 5\nPump 5 runs at up to 50 bar.\n\n"
    joined = "] Pump 5\nPump 5 runs at up to 50 bar.\n\nCare of pump 5\nIts seal is waxed in month 5.\n\n"
    shown = {
        neighbours: [
            row.prompt[-1].content
            for row in render_rows(
                bench, freeze_labels(bench), SNAPSHOT, PROMPT, RetrievalSettings(k=1, neighbours=neighbours)
            ).train
            if row.label_id == "l-5"
        ]
        for neighbours in (0, 1)
    }
    assert shown[0]
    assert all(plain in text and joined not in text for text in shown[0])
    assert all(joined in text for text in shown[1])


def test_a_tuned_prompt_needs_no_examples() -> None:
    assert default_prompt().examples
    assert tuned_prompt(default_prompt()).examples == ()


def test_the_same_training_again_trains_nothing(bench: TrainingBench) -> None:
    first = train_and_register(bench, rendered(bench))
    second = train_and_register(bench, rendered(bench))
    assert second.model == first.model
    assert second.seconds == 0
    assert len(bench.trainer.trained) == 1  # type: ignore[attr-defined]


def test_a_failed_training_consumes_nothing_and_is_tried_again_in_the_same_folder(bench: TrainingBench) -> None:
    failing = replace(bench, trainer=NotingTrainer(ModelUnavailable("no memory")))
    with pytest.raises(ModelUnavailable):
        train_and_register(failing, rendered(failing))
    assert decide(bench).train
    report = train_and_register(bench, rendered(bench))
    [(_, workdir)] = bench.trainer.trained  # type: ignore[attr-defined]
    assert workdir == bench.workdir / report.model.lineage.training


def test_a_golden_question_among_the_training_labels_stops_before_anything_is_rendered(bench: TrainingBench) -> None:
    add(bench, label(PUMPS, "train", question="at how many bar does pump 0 run"))
    with pytest.raises(GoldenLeak):
        freeze_labels(bench)


def test_a_golden_page_among_the_training_labels_stops_too(bench: TrainingBench) -> None:
    add(bench, replace(label(PUMPS, "train", question="Who paints it?"), documents=(GOLDEN_PAGE,)))
    with pytest.raises(GoldenLeak):
        freeze_labels(bench)


def test_time_is_measured_from_the_last_training_that_succeeded_and_from_the_oldest_new_label(
    bench: TrainingBench,
) -> None:
    hours = [0.0]
    bench = replace(
        bench,
        threshold=100,
        timing=RetrainTiming(min_interval_hours=2, max_age_days=1),
        clock=lambda: datetime.now(UTC) + timedelta(hours=hours[0]),
    )
    assert not decide(bench).train
    hours[0] = 24.1
    assert decide(bench).train
    failing = replace(bench, trainer=NotingTrainer(ModelUnavailable("no memory")))
    with pytest.raises(ModelUnavailable):
        train_and_register(failing, rendered(failing))
    assert decide(bench).train  # a failed training starts no clock
    hours[0] = 0.0
    train_and_register(bench, rendered(bench))
    add(bench, label(PUMPS, "train"))
    soon = decide(replace(bench, threshold=1))
    assert (soon.train, soon.new) == (False, 1)
    hours[0] = 2.1
    assert decide(replace(bench, threshold=1)).train
    hours[0] = 23.0
    assert not decide(bench).train  # only the label that came since is new, and it is a day old in an hour


def test_the_rows_of_a_training_are_kept_under_their_hash(bench: TrainingBench, tmp_path: Path) -> None:
    store = FolderArtifacts(tmp_path / "artifacts")
    bench = replace(bench, artifacts=store)
    rows = rendered(bench)
    lineage = train_and_register(bench, rows).model.lineage
    assert lineage.dataset == hashlib.sha256(b"".join(dataset_lines(rows.train, rows.validation))).hexdigest()
    kept = Dataset(lineage.dataset, lineage.dataset_artifact or "")
    assert export_dataset(store, kept, tmp_path / "out.jsonl") == len(rows.train) + len(rows.validation)
    record = json.loads((store.path(lineage.record or "") / MANIFEST).read_text())
    assert (record["dataset"], record["metrics"]) == (lineage.dataset, lineage.metrics)
    assert bench.trainings.models("default")[0].lineage == lineage
