"""Steps before a training: decide, freeze the labels, render the rows as they would be served."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, Protocol

from tasks.core.contributors import ShareLimit
from tasks.core.document_catalog import Leases
from tasks.core.documents import Hit
from tasks.core.labels import Label
from tasks.core.ports import ArtifactStore, Trainer, TrainingRow
from tasks.core.prompts import with_examples
from tasks.core.releases import ModelRef, PromptSpec, RetrievalSettings, SnapshotRef
from tasks.core.replay import with_replay
from tasks.core.retraining import (
    RetrainDecision,
    RetrainTiming,
    TrainingSet,
    Waited,
    freeze,
    should_retrain,
)
from tasks.core.training_rows import RowSettings, training_rows
from tasks.hosted_training import HostedBench
from tasks.labels import LabelCatalog
from tasks.retrieval import RetrievalBench, retrieve, surroundings

DEPTH = 10
"""Hits looked at per label: the passages that are shown, and near ones to distract with."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a model comes from."""

    training: str  # the intent's id
    trainer: str  # its fingerprint
    snapshot: SnapshotRef  # where the passages of the rows were found
    label_ids: tuple[str, ...]
    rows: int
    metrics: Mapping[str, float]
    dataset: str | None = None  # SHA-256 of the rows it was trained on, as `ratchet labels export` writes them
    dataset_artifact: str | None = None  # where they are kept; None: by a version that kept none
    record: str | None = None  # where its curves and manifest are kept; None: by a version that kept none
    method: Literal["supervised", "dpo", "kto"] = "supervised"
    started_from: str | None = None  # the model whose adapter it began with; what that learned is in this one too


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A model in the catalog. id: the adapter's digest, or what else identifies it."""

    id: str
    ref: ModelRef
    lineage: Lineage
    created_at: str


class TrainingCatalog(Protocol):
    """Trainings by intent, and the models they made."""

    def start(self, assistant: str, training: str, label_ids: Sequence[str], begun: Lineage | None = None) -> None:
        """Notes that it runs; one that failed, or whose process died, runs again under the same id.

        begun: what its model can be registered with by a run that does not have its rows; with it, what has succeeded
        stays so, since it is paid for once. Without, it may run again, as when its adapter is gone.
        """

    def succeed(self, assistant: str, ref: ModelRef, lineage: Lineage) -> RegisteredModel:
        """In one transaction: registers the model and marks its training as succeeded, which consumes its labels."""

    def fail(self, assistant: str, training: str, error: str) -> None:
        """Notes why. Consumes no label. What has succeeded, by another run, stays so."""

    def begun(self, assistant: str, training: str) -> Lineage | None:
        """What the model of a training is to be registered with; None where it was started without."""

    def made_by(self, assistant: str, training: str) -> RegisteredModel | None:
        """The model of a training that succeeded."""

    def models(self, assistant: str) -> list[RegisteredModel]:
        """Every model, newest first."""

    def last_succeeded(self, assistant: str) -> datetime | None:
        """When the last training that succeeded ended."""


@dataclass(frozen=True, slots=True)
class TrainingBench:
    """What the training steps need. workdir: holds a folder per training, which one that was killed resumes from."""

    assistant: str
    labels: LabelCatalog
    trainings: TrainingCatalog
    retrieval: RetrievalBench
    trainer: Trainer
    workdir: Path
    threshold: int
    rows: RowSettings = field(default_factory=RowSettings)
    timing: RetrainTiming = field(default_factory=RetrainTiming)
    replay_fraction: float | None = None  # of older labels beside new ones; None: every label is trained on
    artifacts: ArtifactStore | None = None  # keeps the rows that a model was trained on
    hosted: HostedBench | None = None  # the vendor that trains; None: here
    share: ShareLimit = field(default_factory=ShareLimit)  # of preferences and ratings; of labels, import keeps it
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    leases: Leases | None = None  # lets one process at a time make a model; None: at a vendor, where jobs are claimed


@dataclass(frozen=True, slots=True)
class RenderedRows:
    """Rows of one training and of its validation, and what they were rendered from."""

    train: tuple[TrainingRow, ...]
    validation: tuple[TrainingRow, ...]
    label_ids: tuple[str, ...]
    snapshot: SnapshotRef
    read_at: datetime | None = field(default=None, compare=False)  # what was trained since may hold the same


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What a training step gave. seconds: 0 when the same training had succeeded before."""

    model: RegisteredModel
    examples: int
    seconds: float


def decide(bench: TrainingBench, *, force: bool = False) -> RetrainDecision:
    """Whether enough new labels have arrived, or one has waited too long."""
    accepted = [label for label in bench.labels.labels(bench.assistant) if label.state == "accepted"]
    return should_retrain(
        [label.id for label in accepted if label.split == "train"],
        bench.labels.consumed(bench.assistant),
        bench.threshold,
        force=force,
        timing=bench.timing,
        waited=_waited(bench),
        unassigned=sum(label.split is None for label in accepted),
    )


def _waited(bench: TrainingBench) -> Waited:
    last, oldest = bench.trainings.last_succeeded(bench.assistant), bench.labels.oldest_new(bench.assistant)
    now = bench.clock()
    return Waited(
        hours_since_training=(now - last) / timedelta(hours=1) if last else None,
        oldest_new_days=(now - oldest) / timedelta(days=1) if oldest else 0.0,
    )


def freeze_labels(bench: TrainingBench) -> TrainingSet:
    """The labels to train on: all, or the new ones and a share of older ones. Raises GoldenLeak."""
    frozen = freeze(bench.labels.labels(bench.assistant))
    return with_replay(frozen, bench.labels.consumed(bench.assistant), bench.replay_fraction)


def tuned_prompt(prompt: PromptSpec) -> PromptSpec:
    """The prompt a tuned model is trained and served with: the examples are in its weights."""
    return with_examples(prompt, ())


def render_rows(
    bench: TrainingBench,
    labels: TrainingSet,
    snapshot: SnapshotRef,
    prompt: PromptSpec,
    retrieval: RetrievalSettings,
) -> RenderedRows:
    """Rows from the passages that a release on this snapshot with this prompt and retrieval would show.

    Neighbours are joined as a release joins them, but not left out where they would pass its limit on context tokens.
    """
    read_at, settings = bench.clock(), replace(bench.rows, passages=retrieval.k)
    train = _rows(bench, labels.train, labels.golden_pages, snapshot, prompt, retrieval, settings)
    once = replace(settings, contexts=1, closed_book_fraction=0.0)  # nobody can know what was never said
    validation = _rows(bench, labels.validation, labels.golden_pages, snapshot, prompt, retrieval, once)
    return RenderedRows(train, validation, labels.label_ids, snapshot, read_at)


def _rows(
    bench: TrainingBench,
    labels: Sequence[Label],
    golden_pages: frozenset[str],
    snapshot: SnapshotRef,
    prompt: PromptSpec,
    retrieval: RetrievalSettings,
    settings: RowSettings,
) -> tuple[TrainingRow, ...]:
    """Contexts are put together anew from near hits, so neighbours are joined to those and not to the hits."""
    deep = retrieval.model_copy(update={"k": DEPTH + retrieval.k, "neighbours": 0})
    found = retrieve(bench.retrieval, snapshot, [label.question for label in labels], deep)
    hits: dict[str, list[Hit]] = {
        label.id: [hit for hit in one if hit.chunk.document not in golden_pages]
        for label, one in zip(labels, found, strict=True)
    }
    chunks = (hit.chunk for one in hits.values() for hit in one)
    where = surroundings(bench.retrieval, snapshot, chunks, retrieval.neighbours)
    return training_rows(labels, hits, prompt, settings, where)
