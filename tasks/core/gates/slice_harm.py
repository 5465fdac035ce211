"""Whether a release is worse on a slice, which the mean over all questions hides.

Most slices are too small to be shown not worse. So harm has to be found instead: a slice fails when it is surely worse
by more than its margin, and a person should look where it is surely worse at all. Both chances are corrected for the
number of slices looked at (Holm 1979). A slice that the policy requires is shown not worse, like the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tasks.core.gate import Gate, Line, would_decide
from tasks.core.gates.harm import surely
from tasks.core.metrics.score import Metric
from tasks.core.missing import Known, changes
from tasks.core.policy import Policy
from tasks.core.scoring import ScoreSheet, Values, only
from tasks.core.slices import NamedSlice
from tasks.core.stats import clusters_of, estimate_difference, holm, least_questions, p_worse, questions_needed

METRIC: Metric = "right"  # it is defined on every question, answerable or not


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a slice shows: differences of `right`."""

    slice: NamedSlice
    known: Known
    against: str

    @property
    def found(self) -> Values:
        """An unknown score is no reason to call a slice unharmed."""
        return self.known.at_worst

    @property
    def n(self) -> int:
        return len(self.found.values)

    @property
    def pages(self) -> int:
        """Clusters: questions about one page say little more than one of them, and one page shows no spread."""
        return len(set(clusters_of(self.found.labels)))

    @property
    def mean(self) -> float:
        return sum(self.found.values) / self.n

    @property
    def sentence(self) -> str:
        return f"{METRIC}: {100 * self.mean:+.1f} points against {self.against} on {self.n} questions"


def slice_gates(
    candidate: ScoreSheet, baseline: ScoreSheet, slices: Sequence[NamedSlice], policy: Policy
) -> tuple[Gate, ...]:
    """One gate a slice, in their order. Slices of fewer than `minimum_slice` questions or of one page are reported."""
    seen = [
        _Seen(one, changes(only(candidate, one.label_ids), only(baseline, one.label_ids), METRIC), baseline.answerer)
        for one in slices
    ]
    tested = [one for one in seen if not one.slice.required and one.n >= policy.minimum_slice and one.pages > 1]
    by_margin = _chances(tested, policy, lambda one: one.slice.margin)
    at_all = _chances(tested, policy, lambda one: 0.0)
    gates = {
        one.slice.name: _harm(one, over, any_, len(tested), policy)
        for one, over, any_ in zip(tested, by_margin, at_all, strict=True)
    }
    required = sum(one.slice.required for one in seen)
    return tuple(gates.get(one.slice.name) or _untested(one, required, policy) for one in seen)


def _chances(tested: Sequence[_Seen], policy: Policy, margin: Callable[[_Seen], float]) -> list[float]:
    """Per slice: the chance of as much loss, had it lost no more than the margin; corrected for their number."""
    return holm(
        [
            p_worse(one.found.values, clusters_of(one.found.labels), margin=margin(one), how=policy.resampling)
            for one in tested
        ]
    )


def _harm(one: _Seen, over_margin: float, at_all: float, tested: int, policy: Policy) -> Gate:
    name, value = f"slice-{one.slice.name}", round(one.mean, 6)
    margin, among = 100 * one.slice.margin, f"among {tested} slice{'s' * (tested > 1)}"
    if over_margin <= policy.alpha:
        reason = f"{one.sentence}; surely more is lost than {margin:.1f} (p = {over_margin:.4f} {among})."
        return Gate(name, "fail", reason, value, round(over_margin, 6), one.n)
    if at_all <= policy.alpha:
        reason = (
            f"{one.sentence}; surely worse (p = {at_all:.4f} {among}), by {margin:.1f} or less for all that is known: "
            f"a person should look. Undecided: {would_decide(_needed(one, policy))}"
        )
        return Gate(name, "undecided", reason, value, round(at_all, 6), one.n)
    return Gate(
        name, "pass", f"{one.sentence}; not found worse (p = {at_all:.4f} {among}).", value, round(at_all, 6), one.n
    )


def _untested(one: _Seen, required: int, policy: Policy) -> Gate:
    name, least = f"slice-{one.slice.name}", policy.minimum_slice
    if not one.slice.required:
        if not one.n:
            return Gate(name, "reported", f"No question; tested from {least} on.")
        why = f"a slice is tested from {least} on" if one.n < least else "all about one page, which shows no spread"
        return Gate(name, "reported", f"{one.sentence}; {why}.", round(one.mean, 6), None, one.n)
    if one.n < least:
        needed = max(least, policy.minimum_questions, least_questions(one.slice.margin, alpha=policy.alpha))
        reason = (
            f"The policy requires this slice, and {one.n} questions belong to it. "
            f"Undecided: {needed - one.n} more, on different pages, is the least that would decide it."
        )
        return Gate(name, "undecided", reason, n=one.n)
    line = Line(-one.slice.margin, f"losing {100 * one.slice.margin:.1f} is too much", one.against)
    return surely(name, METRIC, one.known, line, policy, among=required)


def _needed(one: _Seen, policy: Policy) -> int:
    clusters = clusters_of(one.found.labels)
    seen = estimate_difference(one.found.values, clusters, alpha=policy.alpha, how=policy.resampling)
    return questions_needed(seen, max(abs(one.mean + one.slice.margin), 0.005), alpha=policy.alpha)
