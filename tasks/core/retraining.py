"""Whether to train, on what, and that nothing golden is in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tasks.core.errors import GoldenLeak
from tasks.core.integrity import same_words
from tasks.core.label_splits import waits_for_split
from tasks.core.labels import Label
from tasks.core.near_duplicates import same_question_pairs, wording
from tasks.core.ports import TrainingRow
from tasks.core.releases import canonical_json


@dataclass(frozen=True, slots=True)
class RetrainDecision:
    """Whether to train now, and why."""

    train: bool
    reason: str
    new: int  # accepted training labels that no succeeded training was made from
    threshold: int


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """The labels of one training, frozen: accepted, by split, golden ones only to be kept out."""

    train: tuple[Label, ...]
    validation: tuple[Label, ...]
    golden_pages: frozenset[str]  # never shown in a training prompt, not even as a distractor

    @property
    def label_ids(self) -> tuple[str, ...]:
        """What this training consumes when it succeeds."""
        return tuple(label.id for label in self.train)


@dataclass(frozen=True, slots=True)
class RetrainTiming:
    """When time has a say: a floor between two trainings, and a ceiling for what a label may wait."""

    min_interval_hours: float = 0.0  # after a training that succeeded; 0: none
    max_age_days: float | None = (
        None  # train on fewer labels than the threshold once one has waited so long; None: never
    )


@dataclass(frozen=True, slots=True)
class Waited:
    """How long things have been as they are."""

    hours_since_training: float | None = None  # that succeeded; None: there was none
    oldest_new_days: float = 0.0  # how long the oldest new label has been waiting


def should_retrain(
    train_ids: Iterable[str],
    consumed: frozenset[str],
    threshold: int,
    *,
    force: bool = False,
    timing: RetrainTiming | None = None,
    waited: Waited | None = None,
    unassigned: int = 0,
) -> RetrainDecision:
    """Train when `threshold` accepted training labels are new since the last succeeded training, or one grew too old.

    A failed training has consumed nothing, so its labels still count. Forced, any label at all is enough, at any time.
    unassigned: accepted labels that are in no split yet.

    >>> should_retrain(["a", "b", "c"], frozenset({"a"}), threshold=3).reason
    '2 new labels; a training starts at 3.'
    """
    ids = set(train_ids)
    new = len(ids - consumed)
    train, reason = _why(len(ids), new, threshold, force, timing or RetrainTiming(), waited or Waited())
    if not ids and unassigned:
        reason = f"{reason} {waits_for_split(unassigned)}"
    return RetrainDecision(train, reason, new, threshold)


def _why(count: int, new: int, threshold: int, force: bool, timing: RetrainTiming, waited: Waited) -> tuple[bool, str]:
    since, oldest, ceiling = waited.hours_since_training, waited.oldest_new_days, timing.max_age_days
    if not count:
        return False, "There is no accepted training label."
    if force:
        return True, f"Asked for, with {new} new labels of {count}."
    old = ceiling is not None and new > 0 and oldest >= ceiling
    if new < threshold and not old:
        return False, f"{new} new labels; a training starts at {threshold}."
    if since is not None and since < timing.min_interval_hours:
        return False, (
            f"{new} new labels, but the last training ended {since:.1f} hours ago; the next may start after "
            f"{timing.min_interval_hours:g}."
        )
    if new >= threshold:
        return True, f"{new} new labels have reached the threshold of {threshold}."
    return True, f"{new} new labels, of which the oldest has waited {oldest:.1f} days; the limit is {ceiling:g}."


def freeze(labels: Iterable[Label]) -> TrainingSet:
    """The accepted labels as a training set, in the order of their ids. Raises GoldenLeak."""
    accepted = sorted((label for label in labels if label.state == "accepted"), key=lambda label: label.id)
    golden = [label for label in accepted if label.split == "golden"]
    study = [label for label in accepted if label.split in ("train", "validation")]
    refuse_leaks(study, golden)
    return TrainingSet(
        train=tuple(label for label in study if label.split == "train"),
        validation=tuple(label for label in study if label.split == "validation"),
        golden_pages=frozenset(page for label in golden for page in label.documents),
    )


def refuse_leaks(study: Sequence[Label], golden: Sequence[Label]) -> None:
    """Raises GoldenLeak when a label is golden by id, is about its page, asks its question, or holds its words."""
    leaks = [*_by_id(study, golden), *_by_page(study, golden), *_by_question(study, golden), *_by_words(study, golden)]
    if leaks:
        raise GoldenLeak(
            f"{len(leaks)} ways from the golden set into the training data, the first: {leaks[0]}. Training would make "
            "the evaluation worthless. Review these labels: `ratchet labels review`.",
            leaks=tuple(leaks),
        )


def intent_id(rows: Sequence[TrainingRow], validation: Sequence[TrainingRow], trainer: str) -> str:
    """The training's name, `t-` and 32 hex digits: the same rows and trainer are the same training."""
    content = [
        [[row.label_id, [[m.role, m.content] for m in row.prompt], row.completion] for row in part]
        for part in (rows, validation)
    ]
    return "t-" + hashlib.sha256(canonical_json([content, trainer]).encode()).hexdigest()[:32]


def _by_id(study: Sequence[Label], golden: Sequence[Label]) -> list[str]:
    return [f"label {one} is golden" for one in sorted({x.id for x in study} & {x.id for x in golden})]


def _by_page(study: Sequence[Label], golden: Sequence[Label]) -> list[str]:
    pages = {page: label.id for label in golden for page in label.documents}
    return [
        f"label {label.id} is about {page}, as golden label {pages[page]} is"
        for label in study
        for page in label.documents
        if page in pages
    ]


def _by_question(study: Sequence[Label], golden: Sequence[Label]) -> list[str]:
    both = [*study, *golden]
    return [
        f"label {both[i].id} asks what golden label {both[j].id} asks"
        for i, j in same_question_pairs([wording(label.asked) for label in both])
        if i < len(study) <= j
    ]


def _by_words(study: Sequence[Label], golden: Sequence[Label]) -> list[str]:
    pairs = dict.fromkeys((one.id, label.id) for one, label in same_words(golden, study))
    return [f"label {label} holds golden label {one} word for word" for one, label in pairs]
