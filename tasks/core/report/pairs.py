"""Pairs: one golden question as both releases answered it, and which way it went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tasks.core.comparison import Touch
from tasks.core.metrics.score import METRICS, Metric, Score, Undefined
from tasks.core.scoring import Scored
from tasks.core.verdict import Case

Way = Literal["worse", "better", "same"]

COUNTED: tuple[Metric, ...] = ("all_right", "right", "citation", "style", "recall")


@dataclass(frozen=True, slots=True)
class Moved:
    """A score that differs between the two."""

    metric: Metric
    then: Score
    now: Score


@dataclass(frozen=True, slots=True)
class Pair:
    """A question; `then` is None when there is no release to compare with."""

    now: Scored
    then: Scored | None
    touch: Touch | None = None  # how a change of documents touches the question

    def change(self, metric: Metric) -> float:
        """The candidate's score less the other's; 0 where either has none."""
        if self.then is None:
            return 0.0
        new, old = self.now.scores[metric], self.then.scores[metric]
        return 0.0 if isinstance(new, Undefined) or isinstance(old, Undefined) else new - old

    @property
    def weight(self) -> tuple[float, ...]:
        """Negative is worse; what matters most first."""
        return tuple(self.change(metric) for metric in COUNTED)

    @property
    def way(self) -> Way:
        """Worse as soon as one thing that counts is."""
        if any(change < 0 for change in self.weight):
            return "worse"
        return "better" if any(change > 0 for change in self.weight) else "same"

    @property
    def mixed(self) -> bool:
        """Worse in one thing that counts, better in another."""
        return min(self.weight) < 0 < max(self.weight)

    @property
    def moved(self) -> tuple[Moved, ...]:
        """Every score that differs, what counts first."""
        if self.then is None:
            return ()
        order = [*COUNTED, *(m for m in METRICS if m not in COUNTED)]
        return tuple(Moved(m, self.then.scores[m], self.now.scores[m]) for m in order if self.change(m))

    @property
    def wholly_right(self) -> bool:
        """Whether nothing is to be said against the candidate's answer."""
        return self.now.scores["all_right"] == 1.0


def pairs_of(case: Case) -> tuple[Pair, ...]:
    """One per question: worse, better, the same; the largest change first, then by label.

    Without a release to compare with, what is not wholly right comes first.
    """
    then: Mapping[str, Scored] = {q.label.id: q for q in case.baseline.questions} if case.baseline else {}
    pairs = [Pair(q, then.get(q.label.id), case.touched.get(q.label.id)) for q in case.candidate.questions]
    return tuple(sorted(pairs, key=_order))


def _order(pair: Pair) -> tuple[int, tuple[float, ...], bool, str]:
    place = ("worse", "better", "same").index(pair.way)
    weight = tuple(-change for change in pair.weight) if pair.way == "better" else pair.weight
    return place, weight, pair.wholly_right, pair.now.label.id
