"""Whether a release is good enough by itself, whatever is being served."""

from __future__ import annotations

from tasks.core.gate import Gate, Line, judge
from tasks.core.metrics.score import Metric
from tasks.core.missing import changes, shares
from tasks.core.policy import Policy
from tasks.core.scoring import ScoreSheet


def floor_gate(candidate: ScoreSheet, metric: Metric, floor: float, policy: Policy) -> Gate:
    """Above a floor that never moves."""
    line = Line(floor, f"the floor is {100 * floor:.1f} %")
    return judge(f"floor-{dashed(metric)}", metric, shares(candidate, metric), line, policy)


def beats_gate(candidate: ScoreSheet, trivial: ScoreSheet, policy: Policy) -> Gate:
    """Better than an answerer that understands nothing."""
    metric = policy.beats_trivial_on
    line = Line(0.0, "above 0 beats it", trivial.answerer)
    return judge(f"beats-{trivial.answerer}", metric, changes(candidate, trivial, metric), line, policy)


def dashed(metric: Metric) -> str:
    """The metric as gates are named."""
    return metric.replace("_", "-")
