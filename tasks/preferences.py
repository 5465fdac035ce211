"""Steps of a training on preferences or ratings: decide, render the rows as they would be served, train, register."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Protocol

from tasks.core.contributors import Shared, within_share
from tasks.core.documents import Hit
from tasks.core.errors import NotEnoughLabels
from tasks.core.hosted_start import hosted_start
from tasks.core.label_splits import waits_for_split
from tasks.core.labels import Split
from tasks.core.opinions import Opinion, Preference, Rating, to_train_on
from tasks.core.ports import Progress, TrainedModel
from tasks.core.rating_rows import RatingRow, kinds
from tasks.core.releases import ModelRef, PromptSpec, RetrievalSettings, SnapshotRef
from tasks.core.retraining import RetrainDecision
from tasks.core.taught_rows import OpinionMethod, TaughtRow, opinion_intent, taught_rows
from tasks.datasets import opinion_lines
from tasks.hosted_trainer import HostedTrainer
from tasks.hosted_training import HostedBench
from tasks.retrieval import retrieve, surroundings
from tasks.training import DEPTH, Lineage, TrainingBench, TrainingReport
from tasks.training_runs import trained_once

NAMES: Mapping[OpinionMethod, str] = {"dpo": "preferences", "kto": "ratings"}


class LearnsPreferences(Protocol):
    """Rows to a model in the artifact store. The same rows, start, settings and seed give the same adapter."""

    @property
    def fingerprint(self) -> str:
        """The model it begins with, settings, seed and library versions."""

    def prefer(
        self,
        rows: Sequence[TaughtRow],
        validation: Sequence[TaughtRow],
        workdir: Path,
        progress: Progress | None = None,
    ) -> TrainedModel:
        """Trains in `workdir`, which a second call after a kill resumes from."""


@dataclass(frozen=True, slots=True)
class PreferenceBench:
    """What the steps need: where preferences, passages and models are, and what learns."""

    training: TrainingBench
    trainer: LearnsPreferences
    start: str | None = None  # the adapter, or hosted model, it begins with; None: the base
    method: OpinionMethod = "dpo"
    hosted: HostedBench | None = None  # where it learns; None: here


@dataclass(frozen=True, slots=True)
class RenderedOpinions:
    """Pairs or ratings of one training and of its validation, and what they were rendered from."""

    train: tuple[TaughtRow, ...]
    validation: tuple[TaughtRow, ...]
    opinion_ids: tuple[str, ...]  # within their contributors' share, taught or not
    snapshot: SnapshotRef
    method: OpinionMethod
    left_out: int = 0  # rows beyond their contributors' share
    why_left_out: str = ""  # of opinions, and of the rows that the others became
    read_at: datetime | None = field(default=None, compare=False)  # what was trained since may hold the same

    @property
    def sentence(self) -> str:
        """How many opinions became rows."""
        asked = {"dpo": "the preferred answer", "kto": "the answer, if it is a good one"}[self.method]
        told = (
            f"{len(self.train) + self.left_out} of {len(self.opinion_ids)} accepted {NAMES[self.method]} can be "
            f"taught: retrieval shows a passage that holds {asked}, or it is to abstain."
        )
        told = _joined(told, self.why_left_out)
        if self.method == "dpo":
            return told
        good, bad = kinds(row for row in self.train if isinstance(row, RatingRow))
        return f"{told} {good} are good and {bad} bad."

    @property
    def enough(self) -> bool:
        """KTO wants good and bad answers."""
        if self.method == "dpo":
            return bool(self.train)
        return all(kinds(row for row in self.train if isinstance(row, RatingRow)))


def at_vendor(
    training: TrainingBench, hosted: HostedBench, served: ModelRef, beta: float | None, *, another: bool = False
) -> PreferenceBench:
    """The bench of DPO at a vendor, from the served model where that is hosted. Asks nobody.

    another: a new attempt where the last ended without a model. Raises BadSetting as `hosted_start` does.
    """
    made_from = {job.model: job.base for job in hosted.jobs.jobs(hosted.assistant) if job.model}
    start = hosted_start(served, hosted.plan.base, made_from)
    plan = replace(hosted.plan, base=start or hosted.plan.base, method="dpo", beta=beta)
    learning = replace(hosted, plan=plan)
    bench = replace(training, hosted=learning, leases=None)
    return PreferenceBench(bench, HostedTrainer(learning, another), start, "dpo", learning)


def enough_opinions(bench: TrainingBench, method: OpinionMethod, least: int, *, force: bool = False) -> RetrainDecision:
    """Whether enough new preferences or ratings have been accepted, within their contributors' share.

    Raises GoldenLeak.
    """
    shared = _within_share(bench, _opinions(bench, method, "train"))
    accepted = {one.id for one in shared.kept}
    new = len(accepted - bench.labels.consumed(bench.assistant))
    counted = f"{new} new {NAMES[method]} of {len(accepted)} accepted ones"

    unsplit = waits_for_split(0 if accepted else _unsplit(bench, method))

    def decided(train: bool, reason: str) -> RetrainDecision:
        return RetrainDecision(train, _joined(f"{counted}{reason}", unsplit, shared.sentence), new, least)

    if new >= least:
        return decided(True, f"; {least} are asked for.")
    if force:
        return decided(True, f"; {least} are asked for, and training was forced.")
    return decided(
        False,
        f", and {least} are asked for: {least - new} are missing. Import more (`ratchet labels import`), "
        "lower RATCHET_PREFERENCES__LEAST, or train regardless: --force.",
    )


def render_opinions(
    bench: PreferenceBench, snapshot: SnapshotRef, prompt: PromptSpec, retrieval: RetrievalSettings
) -> RenderedOpinions:
    """Rows on the passages that a release on this snapshot with this prompt and retrieval would show.

    Neighbours are joined as a release joins them, but not left out where they would pass its limit on context tokens.
    Shares are kept twice: of the opinions, which is what counts as new, and of the rows that these become, which is
    what is trained on. Raises GoldenLeak.
    """
    read_at = bench.training.clock()
    study = _within_share(bench.training, _opinions(bench.training, bench.method, "train"))
    taught, validation = (
        _rows(bench.training, part, snapshot, prompt, retrieval)
        for part in (study.kept, _opinions(bench.training, bench.method, "validation"))
    )
    whose = {one.id: one.contributor for one in study.kept}
    train = within_share(taught, lambda row: whose[row.label_id], bench.training.share)
    return RenderedOpinions(
        train.kept,
        validation,
        tuple(one.id for one in study.kept),
        snapshot,
        bench.method,
        len(taught) - len(train.kept),
        _joined(study.sentence, train.sentence),
        read_at,
    )


def learn_and_register(
    bench: PreferenceBench, pairs: RenderedOpinions, progress: Progress | None = None
) -> TrainingReport:
    """The model of these rows: trained now, or found when the same training has succeeded before.

    Raises NotEnoughLabels when nothing can be taught, and what the trainer and the artifact store raise, after noting
    it: a failed training consumes no opinion.
    """
    if not pairs.enough:
        both = " KTO wants both." if pairs.method == "kto" else ""
        raise NotEnoughLabels(f"There is not enough to train on. {pairs.sentence}{both}")
    trainer = bench.trainer.fingerprint
    training = opinion_intent(pairs.train, pairs.validation, trainer)
    lineage = Lineage(
        training=training,
        trainer=trainer,
        snapshot=pairs.snapshot,
        label_ids=pairs.opinion_ids,
        rows=len(pairs.train),
        metrics={},
        method=bench.method,
        started_from=bench.start,
    )
    lines = opinion_lines(pairs.train, pairs.validation)

    def made() -> TrainedModel:
        return bench.trainer.prefer(pairs.train, pairs.validation, bench.training.workdir / training, progress)

    return trained_once(bench.training, lineage, lines, made, progress)


def _joined(*sentences: str) -> str:
    return " ".join(filter(None, sentences))


def _within_share(bench: TrainingBench, opinions: Sequence[Opinion]) -> Shared[Opinion]:
    return within_share(opinions, lambda one: one.contributor, bench.share)


def _opinions(bench: TrainingBench, method: OpinionMethod, split: Split) -> list[Opinion]:
    opinions, labels = bench.labels.opinions(bench.assistant), bench.labels.labels(bench.assistant)
    kind = Preference if method == "dpo" else Rating
    return [one for one in to_train_on(opinions, labels, split) if isinstance(one, kind)]


def _unsplit(bench: TrainingBench, method: OpinionMethod) -> int:
    kind = Preference if method == "dpo" else Rating
    opinions = bench.labels.opinions(bench.assistant)
    return sum(isinstance(one, kind) and one.state == "accepted" and one.split is None for one in opinions)


def _rows(
    bench: TrainingBench,
    opinions: Sequence[Opinion],
    snapshot: SnapshotRef,
    prompt: PromptSpec,
    retrieval: RetrievalSettings,
) -> tuple[TaughtRow, ...]:
    labels = bench.labels.labels(bench.assistant)
    golden = {page for one in labels if one.state == "accepted" and one.split == "golden" for page in one.documents}
    deep = retrieval.model_copy(update={"k": DEPTH + retrieval.k, "neighbours": 0})  # some may be golden pages
    found = retrieve(bench.retrieval, snapshot, [one.question for one in opinions], deep)
    hits: dict[str, list[Hit]] = {
        one.id: [hit for hit in near if hit.chunk.document not in golden][: retrieval.k]
        for one, near in zip(opinions, found, strict=True)
    }
    chunks = (hit.chunk for near in hits.values() for hit in near)
    where = surroundings(bench.retrieval, snapshot, chunks, retrieval.neighbours)
    return taught_rows(opinions, hits, prompt, retrieval.k, where)
