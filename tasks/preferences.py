"""Steps of a training on preferences: decide, render the pairs as they would be served, train, register."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tasks.core.documents import Hit
from tasks.core.errors import NotEnoughLabels
from tasks.core.labels import Split
from tasks.core.opinions import Preference, to_train_on
from tasks.core.ports import Progress, TrainedModel
from tasks.core.preference_rows import PreferenceRow, preference_intent, preference_rows
from tasks.core.releases import PromptSpec, RetrievalSettings, SnapshotRef
from tasks.core.retraining import RetrainDecision
from tasks.datasets import keep_lines, preference_lines
from tasks.retrieval import retrieve, surroundings
from tasks.training import DEPTH, Lineage, TrainingBench, TrainingReport, trained_once
from tasks.training_records import keep_record


class LearnsPreferences(Protocol):
    """Pairs to a model in the artifact store. The same pairs, start, settings and seed give the same adapter."""

    @property
    def fingerprint(self) -> str:
        """The model it begins with, settings, seed and library versions."""

    def prefer(
        self,
        rows: Sequence[PreferenceRow],
        validation: Sequence[PreferenceRow],
        workdir: Path,
        progress: Progress | None = None,
    ) -> TrainedModel:
        """Trains in `workdir`, which a second call after a kill resumes from."""


@dataclass(frozen=True, slots=True)
class PreferenceBench:
    """What the steps need: where preferences, passages and models are, and what learns."""

    training: TrainingBench
    trainer: LearnsPreferences
    start: str | None = None  # the adapter it begins with; None: the base


@dataclass(frozen=True, slots=True)
class RenderedPairs:
    """Pairs of one training and of its validation, and what they were rendered from."""

    train: tuple[PreferenceRow, ...]
    validation: tuple[PreferenceRow, ...]
    preference_ids: tuple[str, ...]
    snapshot: SnapshotRef

    @property
    def sentence(self) -> str:
        """How many preferences became pairs."""
        return (
            f"{len(self.train)} of {len(self.preference_ids)} accepted preferences can be taught: retrieval shows a "
            "passage that holds the preferred answer, or it is to abstain."
        )


def enough_preferences(bench: TrainingBench, least: int, *, force: bool = False) -> RetrainDecision:
    """Whether enough new preferences have been accepted. Raises GoldenLeak."""
    accepted = {one.id for one in _preferences(bench, "train")}
    new = len(accepted - bench.labels.consumed(bench.assistant))
    counted = f"{new} new preferences of {len(accepted)} accepted ones"
    if new >= least:
        return RetrainDecision(True, f"{counted}; {least} are asked for.", new, least)
    if force:
        return RetrainDecision(True, f"{counted}; {least} are asked for, and training was forced.", new, least)
    missing = (
        f"{counted}, and {least} are asked for: {least - new} are missing. Import more (`ratchet labels import`), "
        "lower RATCHET_PREFERENCES__LEAST, or train regardless: --force."
    )
    return RetrainDecision(False, missing, new, least)


def render_pairs(
    bench: PreferenceBench, snapshot: SnapshotRef, prompt: PromptSpec, retrieval: RetrievalSettings
) -> RenderedPairs:
    """Pairs on the passages that a release on this snapshot with this prompt and retrieval would show.

    Neighbours are joined as a release joins them, but not left out where they would pass its limit on context tokens.
    Raises GoldenLeak.
    """
    study = _preferences(bench.training, "train")
    train, validation = (
        _pairs(bench.training, part, snapshot, prompt, retrieval)
        for part in (study, _preferences(bench.training, "validation"))
    )
    return RenderedPairs(train, validation, tuple(one.id for one in study), snapshot)


def learn_and_register(
    bench: PreferenceBench, pairs: RenderedPairs, progress: Progress | None = None
) -> TrainingReport:
    """The model of these pairs: trained now, or found when the same training has succeeded before.

    Raises NotEnoughLabels when no preference can be taught, and what the trainer and the artifact store raise, after
    noting it: a failed training consumes no preference.
    """
    if not pairs.train:
        raise NotEnoughLabels(f"There is nothing to train on. {pairs.sentence}")
    training = preference_intent(pairs.train, pairs.validation, bench.trainer.fingerprint)

    def made() -> tuple[TrainedModel, Lineage]:
        trained = bench.trainer.prefer(pairs.train, pairs.validation, bench.training.workdir / training, progress)
        return trained, _lineage(bench, training, pairs, trained)

    return trained_once(bench.training, training, pairs.preference_ids, len(pairs.train), made)


def _preferences(bench: TrainingBench, split: Split) -> list[Preference]:
    opinions, labels = bench.labels.opinions(bench.assistant), bench.labels.labels(bench.assistant)
    return [one for one in to_train_on(opinions, labels, split) if isinstance(one, Preference)]


def _pairs(
    bench: TrainingBench,
    preferences: Sequence[Preference],
    snapshot: SnapshotRef,
    prompt: PromptSpec,
    retrieval: RetrievalSettings,
) -> tuple[PreferenceRow, ...]:
    labels = bench.labels.labels(bench.assistant)
    golden = {page for one in labels if one.state == "accepted" and one.split == "golden" for page in one.documents}
    deep = retrieval.model_copy(update={"k": DEPTH + retrieval.k, "neighbours": 0})  # some may be golden pages
    found = retrieve(bench.retrieval, snapshot, [one.question for one in preferences], deep)
    hits: dict[str, list[Hit]] = {
        one.id: [hit for hit in near if hit.chunk.document not in golden][: retrieval.k]
        for one, near in zip(preferences, found, strict=True)
    }
    chunks = (hit.chunk for near in hits.values() for hit in near)
    where = surroundings(bench.retrieval, snapshot, chunks, retrieval.neighbours)
    return preference_rows(preferences, hits, prompt, retrieval.k, where)


def _lineage(bench: PreferenceBench, training: str, pairs: RenderedPairs, trained: TrainedModel) -> Lineage:
    artifacts = bench.training.artifacts
    kept = keep_lines(artifacts, preference_lines(pairs.train, pairs.validation)) if artifacts else None
    return Lineage(
        training=training,
        trainer=bench.trainer.fingerprint,
        snapshot=pairs.snapshot,
        label_ids=pairs.preference_ids,
        rows=len(pairs.train),
        metrics=dict(trained.metrics),
        dataset=kept.hash if kept else None,
        dataset_artifact=kept.artifact if kept else None,
        record=keep_record(artifacts, trained, kept.hash) if artifacts and kept else None,
        method="dpo",
        started_from=bench.start,
    )
