"""What the seeds of `learning.py` gave, measure by measure, and whether the goals are reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tasks.core.metrics.score import Metric
from tasks.core.policy import Policy
from tasks.core.stats import estimate_difference

ALPHA = 0.025  # on each side: an interval of 95 %
MEASURES: Mapping[str, tuple[Metric, Literal[1, -1]]] = {  # -1: one minus the metric
    "wholly right": ("all_right", 1),
    "correct": ("correct", 1),
    "style": ("style", 1),
    "citation": ("citation", 1),
    "abstains when it should": ("abstains", 1),
    "abstains when it should not": ("answers", -1),
}


@dataclass(frozen=True)
class Asked:
    """A golden question: its page, and what each of the two scored by the names of MEASURES."""

    label: str
    page: int
    base: Mapping[str, float]  # a measure that is undefined here is left out
    tuned: Mapping[str, float]


@dataclass(frozen=True)
class Learnt:
    """What one seed gave. trainer: fingerprint of base, settings and versions; what it was answered with: release."""

    seed: int
    trainer: str
    base_release: str
    release: str
    adapter: str
    dataset: str
    seconds: float
    cores: int
    forgetting: float | None  # nats per token of general exchanges, more than the base; None: not measured
    questions: tuple[Asked, ...]


@dataclass(frozen=True)
class Row:
    """One measure over one seed, or over several, whose values are averaged question by question."""

    measure: str
    base: float
    tuned: float
    lower: float
    upper: float
    n: int

    @property
    def difference(self) -> float:
        return self.tuned - self.base


@dataclass(frozen=True)
class Goal:
    what: str
    found: str
    reached: bool


def rows(results: Sequence[Learnt]) -> list[Row]:
    """Every measure. Of several seeds a question counts once, with the mean of what they scored."""
    return [row(measure, results) for measure in MEASURES]


def row(measure: str, results: Sequence[Learnt]) -> Row:
    asked = [
        (one.page, one.base[measure], one.tuned[measure], one.label)
        for result in results
        for one in result.questions
        if measure in one.base and measure in one.tuned
    ]
    by_label: dict[str, list[tuple[int, float, float]]] = {}
    for page, base, tuned, label in asked:
        by_label.setdefault(label, []).append((page, base, tuned))
    pages = [seen[0][0] for seen in by_label.values()]
    base_values = [mean([base for _, base, _ in seen]) for seen in by_label.values()]
    tuned_values = [mean([tuned for _, _, tuned in seen]) for seen in by_label.values()]
    differences = [after - before for before, after in zip(base_values, tuned_values, strict=True)]
    found = estimate_difference(differences, pages, alpha=ALPHA, how=Policy().resampling)
    return Row(measure, mean(base_values), mean(tuned_values), found.lower, found.upper, len(differences))


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def goals(results: Sequence[Learnt], twice: str | None) -> list[Goal]:
    """What must hold of all seeds together; of the slowest one where it is about seconds."""
    found = {one.measure: one for one in rows(results)}
    right, value = found["wholly right"], found["correct"]
    should, should_not = found["abstains when it should"].tuned, found["abstains when it should not"].tuned
    slowest = max(one.seconds for one in results)
    wanted = [
        Goal("wholly right at least 55 %", f"{right.tuned:.1%}", right.tuned >= 0.55),
        Goal("25 points more wholly right than the base", f"{100 * right.difference:+.1f}", right.difference >= 0.25),
        Goal("its interval above 0", f"{interval(right)}", right.lower > 0),
        Goal("correct no less often than the base", f"{100 * value.difference:+.1f}", value.difference >= 0),
        Goal("abstains at least 80 % when it should", f"{should:.1%}", should >= 0.80),
        Goal("abstains at most 10 % when it should not", f"{should_not:.1%}", should_not <= 0.10),
        Goal(f"at most 200 s of training ({results[0].cores} cores)", f"{slowest:.0f} s", slowest <= 200),
    ]
    forgot = [one.forgetting for one in results if one.forgetting is not None]
    whole = len(forgot) == len(results)
    wanted.append(
        Goal(
            "forgets at most 0.05 nats/token of general exchanges",
            f"{max(forgot):+.3f}" if whole else "not measured",
            whole and max(forgot) <= 0.05,
        )
    )
    if twice is not None:
        wanted.append(Goal("the same adapter when trained twice", twice, twice == results[0].adapter))
    return wanted


def interval(found: Row) -> str:
    return f"[{100 * found.lower:+.1f}, {100 * found.upper:+.1f}]"


def said(name: str, results: Sequence[Learnt]) -> str:
    lines = [f"{name:<28} {'base':>6} {'tuned':>6} {'difference':>10}  {'95 % interval':<15} {'n':>4}"]
    for one in rows(results):
        numbers = f"{100 * one.base:6.1f} {100 * one.tuned:6.1f} {100 * one.difference:+10.1f}  {interval(one):<15}"
        lines.append(f"  {one.measure:<26} {numbers} {one.n:4}")
    return "\n".join(lines)
