"""Whether a release keeps what its kind of change promised: a new model is better, a new setting better or cheaper.

A promise that is not kept holds a release. It never rejects one: whether it does harm is asked elsewhere, and a release
equal to the one being served is no worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tasks.core.gate import Gate, Line, judge
from tasks.core.gates.floors import dashed
from tasks.core.metrics.score import Metric
from tasks.core.missing import changes
from tasks.core.policy import Policy
from tasks.core.scoring import ScoreSheet, only
from tasks.core.slices import NamedSlice


def better_gate(
    candidate: ScoreSheet,
    baseline: ScoreSheet,
    metric: Metric,
    policy: Policy,
    *,
    alpha: float,
    doubt: str | None = None,
) -> Gate:
    """Surely better at the metric. doubt: why its values prove nothing, as of a judge that people do not agree with."""
    line = Line(0.0, "above 0 is better", baseline.answerer)
    gate = judge(f"better-{dashed(metric)}", metric, changes(candidate, baseline, metric), line, policy, alpha=alpha)
    if doubt is not None:
        return replace(gate, outcome="undecided", reason=f"Proves nothing: {doubt} {gate.reason}")
    if gate.outcome == "fail":
        reason = f"{gate.reason} Undecided: no number of labels shows an improvement that is not there."
        return replace(gate, outcome="undecided", reason=reason)
    return gate


def better_on_gate(
    candidate: ScoreSheet,
    baseline: ScoreSheet,
    slices: Sequence[NamedSlice],
    policy: Policy,
    *,
    doubt: str | None = None,
) -> Gate:
    """A new model is better at `adapter_improves`, on the slice `adapter_improves_on` where the policy names one."""
    metric, wanted = policy.adapter_improves, policy.adapter_improves_on
    if wanted is None:
        return better_gate(candidate, baseline, metric, policy, alpha=policy.alpha, doubt=doubt)
    named = {one.name: one.label_ids for one in slices}
    if wanted not in named:
        known = ", ".join(named) or "none"
        reason = f"adapter_improves_on names {wanted}, which is no slice of this golden set. Its slices: {known}."
        return Gate(f"better-{dashed(metric)}", "undecided", reason)
    now, then = only(candidate, named[wanted]), only(baseline, named[wanted])
    gate = better_gate(now, then, metric, policy, alpha=policy.alpha, doubt=doubt)
    return replace(gate, reason=f"On {wanted}: {gate.reason}")


def best_of(tried: Sequence[Gate]) -> Gate:
    """The gate that passes, or `better-at-one`; the one that gained most of several. Each had its share of alpha.

    What was gained is compared, not the bounds: some are lower bounds, others probabilities.
    """
    best = max(tried, key=lambda gate: (gate.outcome == "pass", gate.value is not None, gate.value or 0.0))
    if best.outcome == "pass":
        return best
    names = ", ".join(gate.name for gate in tried)
    reason = f"Nothing promised is sure ({names}); most was gained here: {best.reason}"
    return Gate("better-at-one", "undecided", reason, best.value, best.bound, best.n)
