"""A gate's answer, and how one is reached when an estimate meets a line it must stay above."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from tasks.core.metrics.score import Metric
from tasks.core.missing import Known
from tasks.core.policy import Policy
from tasks.core.scoring import Values
from tasks.core.stats import (
    Estimate,
    clusters_of,
    estimate_difference,
    estimate_share,
    least_questions,
    questions_needed,
)

MOST_ASKED_FOR = 20_000  # golden questions; above, no number is named

Outcome = Literal["pass", "fail", "undecided", "reported"]  # reported: worth knowing, decides nothing


@dataclass(frozen=True, slots=True)
class Gate:
    """One question asked of a release. `bound` is what `value` was judged by; both None where nothing was measured."""

    name: str
    outcome: Outcome
    reason: str
    value: float | None = None
    bound: float | None = None
    n: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """What the truth must lie above: a floor for a share (0 to 1), or a least difference (-1 to 1)."""

    at: float
    words: str  # "the floor is 70.0 %"
    against: str = ""  # whose values were subtracted; "" for a share

    @property
    def is_difference(self) -> bool:
        """Whether values are differences."""
        return bool(self.against)


def judge(name: str, metric: Metric, known: Known, line: Line, policy: Policy, *, alpha: float | None = None) -> Gate:
    """Pass when even the lower bound lies above the line, fail when even the upper one lies below, else undecided.

    It passes only where it also would if what is missing were as bad as it can be.
    """
    alpha = policy.alpha if alpha is None else alpha
    found = known.values
    if len(found.values) < policy.minimum_questions:
        least = max(policy.minimum_questions, _least(line, alpha))
        return Gate(name, "undecided", _too_few(metric, found, least), n=len(found.values))
    seen = _estimate(found, line, policy, alpha)
    outcome: Outcome = "pass" if seen.lower > line.at else "fail" if seen.upper < line.at else "undecided"
    reason = _sentence(metric, seen, line)
    if outcome == "undecided":
        reason += _what_would_decide(seen, line, alpha)
    if outcome == "pass" and known.missing:
        worst = _estimate(known.at_worst, line, policy, alpha)
        if worst.lower <= line.at:
            outcome, reason = "undecided", reason + _what_is_missing(known, worst, line)
    bound = seen.upper if outcome == "fail" else seen.lower
    return Gate(name, outcome, reason, round(seen.mean, 6), round(bound, 6), seen.n)


def _estimate(found: Values, line: Line, policy: Policy, alpha: float) -> Estimate:
    estimate = estimate_difference if line.is_difference else estimate_share
    return estimate(found.values, clusters_of(found.labels), alpha=alpha, how=policy.resampling)


def _least(line: Line, alpha: float) -> int:
    """Independent questions without which nothing can pass, however good the answers."""
    room = -line.at if line.is_difference else 1 - line.at
    return least_questions(room, alpha=alpha) if room > 0 else 0


def _too_few(metric: Metric, found: Values, least: int) -> str:
    n = len(found.values)
    text = f"{metric} is known on {n} questions; at least {least}, on different pages, would decide."
    if found.undefined:
        reason, times = Counter(found.undefined).most_common(1)[0]
        text += f" On {times} of {n + len(found.undefined)} it is undefined: {reason}."
    return text


def _what_is_missing(known: Known, worst: Estimate, line: Line) -> str:
    reason, times = Counter(known.missing).most_common(1)[0]
    low = f"{100 * worst.lower:+.1f}" if line.is_difference else f"{100 * worst.lower:.1f} %"
    others = f", and {len(known.missing) - times} for other reasons" if times < len(known.missing) else ""
    more = f"{times} more have no value ({reason}){others}"
    return f" Undecided: {more}; with them at their worst it may be as low as {low}."


def _sentence(metric: Metric, seen: Estimate, line: Line) -> str:
    if line.is_difference:
        mean, low, high = (f"{100 * x:+.1f}" for x in (seen.mean, seen.lower, seen.upper))
        value = f"{mean} points against {line.against}, between {low} and {high}"
    else:
        mean, low, high = (f"{100 * x:.1f}" for x in (seen.mean, seen.lower, seen.upper))
        value = f"{mean} %, between {low} and {high} %"
    return f"{metric}: {value} on {seen.n} questions; {line.words}."


def _what_would_decide(seen: Estimate, line: Line, alpha: float) -> str:
    """For a margin the promise is equality: that is what has to be shown, unless it is excluded already."""
    if line.is_difference and line.at == 0 and seen.mean <= 0:
        return " Undecided: no number of labels shows an improvement that is not there."
    if line.at >= 1:
        return " Undecided: no number of labels shows that there is never an exception; lower the floor."
    reachable = 0.0 if line.at < 0 <= seen.upper else seen.mean
    return f" Undecided: {would_decide(questions_needed(seen, max(abs(reachable - line.at), 0.005), alpha=alpha))}"


def would_decide(needed: int) -> str:
    """How a doubt names the questions it takes; where nobody would write so many, what to do instead.

    >>> would_decide(240)
    'about 240 such questions would decide it.'
    """
    if needed > MOST_ASKED_FOR:
        return f"so near to the line, more than {MOST_ASKED_FOR:,} questions would be needed: a person should look."
    return f"about {needed:,} such questions would decide it."
