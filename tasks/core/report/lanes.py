"""Lanes: the interval of every metric and slice, next to the line it was judged by.

Each is estimated from the same values, with the same alpha and the same draws, as in the gate that decided: what a
report shows is what was decided.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tasks.core.comparison import Touch
from tasks.core.gate import Gate
from tasks.core.gates.floors import dashed
from tasks.core.gates.slice_harm import METRIC
from tasks.core.metrics.score import MEANING, METRICS, Metric
from tasks.core.scoring import ScoreSheet, Values, differences, only, values_of, without
from tasks.core.slices import NamedSlice, slices_of
from tasks.core.stats import Estimate, clusters_of, estimate_difference, estimate_share
from tasks.core.verdict import Case, Verdict


@dataclass(frozen=True, slots=True)
class Lane:
    """One interval. Shares are 0 to 1, differences -1 to 1."""

    name: str
    meaning: str
    seen: Estimate | None  # None: known on no question
    line: float | None  # what the truth must lie above; None: nothing was demanded
    gate: Gate | None  # None: decides nothing
    now: float | None  # the candidate's mean where both are known
    then: float | None = None  # the other's
    missing: str = ""  # why it is known on no question
    marks: tuple[tuple[str, float], ...] = ()  # what others reach on the same scale


def floor_lanes(case: Case, verdict: Verdict) -> tuple[Lane, ...]:
    """What has a floor, and what the release being served and the trivial answerers reach."""
    others = {"current": case.baseline} if case.baseline else {}
    others |= {trivial.answerer: trivial for trivial in case.trivial}
    lanes = []
    for metric in (m for m in METRICS if m in case.policy.floors):
        found = values_of(case.candidate, metric)
        means = {name: values_of(sheet, metric).mean for name, sheet in others.items()}
        lanes.append(
            Lane(
                metric,
                MEANING[metric],
                _share(found, case),
                case.policy.floors[metric],
                gate_named(verdict, f"floor-{dashed(metric)}"),
                found.mean,
                missing=_missing(found),
                marks=tuple((name, mean) for name, mean in means.items() if mean is not None),
            )
        )
    return tuple(lanes)


def harm_lanes(case: Case, verdict: Verdict) -> tuple[Lane, ...]:
    """Every metric against the release being served, those with a margin first. None without such a release."""
    if case.baseline is None:
        return ()
    now, then = _of_old_answers(case, case.baseline, case.touched)
    margins = case.policy.margins
    order = [m for m in METRICS if m in margins] + [m for m in METRICS if m not in margins]
    return tuple(
        _against(
            case,
            now,
            then,
            metric,
            -margins[metric] if metric in margins else None,
            gate_named(verdict, f"no-harm-{dashed(metric)}"),
            among=len(margins),
        )
        for metric in order
    )


def better_lanes(case: Case, verdict: Verdict) -> tuple[Lane, ...]:
    """What a new model, or a new prompt or setting, may be better at; alpha is shared among all that is tried."""
    if case.baseline is None:
        return ()
    policy, now, then = case.policy, case.candidate, case.baseline
    tried: tuple[Metric, ...] = ()
    alpha = policy.alpha
    if "adapter" in case.kinds:
        tried = (policy.adapter_improves,)
        slices = slices_of(now.labels, policy, case.touched)
        for wanted in (one for one in slices if one.name == policy.adapter_improves_on):
            now, then = only(now, wanted.label_ids), only(then, wanted.label_ids)
    elif "config" in case.kinds:
        tried = policy.config_improves
        alpha = policy.alpha / (len(tried) + 1 + bool(policy.pace.questions))
    return tuple(
        _against(case, now, then, metric, 0.0, gate_named(verdict, f"better-{dashed(metric)}"), alpha=alpha)
        for metric in tried
    )


def drift_lanes(case: Case, verdict: Verdict) -> tuple[Lane, ...]:
    """What has a drift budget, against the anchor. None without an anchor."""
    if case.anchor is None:
        return ()
    now, then = _of_old_answers(case, case.anchor, case.anchor_touched)
    budget = case.policy.drift_budget
    return tuple(
        _against(
            case,
            now,
            then,
            metric,
            -budget[metric],
            gate_named(verdict, f"drift-{dashed(metric)}"),
            among=len(budget),
        )
        for metric in METRICS
        if metric in budget
    )


def slice_lanes(case: Case, verdict: Verdict) -> tuple[Lane, ...]:
    """`right` on each slice: against the release being served, or as a share where there is none."""
    now, then = case.candidate, case.baseline
    if then is not None:
        now, then = _of_old_answers(case, then, case.touched)
    slices = slices_of(now.labels, case.policy, case.touched)
    required = sum(one.required for one in slices)
    return tuple(_slice_lane(case, verdict, one, now, then, required) for one in slices)


def _slice_lane(
    case: Case, verdict: Verdict, one: NamedSlice, now: ScoreSheet, then: ScoreSheet | None, required: int
) -> Lane:
    gate = gate_named(verdict, f"slice-{one.name}")
    meaning = "must be shown not worse" if one.required else ""
    within = only(now, one.label_ids)
    if then is None:
        found = values_of(within, METRIC)
        return Lane(one.name, meaning, _share(found, case), None, gate, found.mean, missing=_missing(found))
    among = required if one.required else None
    lane = _against(case, within, only(then, one.label_ids), METRIC, -one.margin, gate, among=among)
    return replace(lane, name=one.name, meaning=meaning)


def gate_named(verdict: Verdict, name: str) -> Gate | None:
    """None where it was not asked."""
    return next((gate for gate in verdict.gates if gate.name == name), None)


def known(lanes: Sequence[Lane]) -> Iterator[Lane]:
    """Those to show: what was demanded, and what is known."""
    return (lane for lane in lanes if lane.gate or lane.seen)


def _against(
    case: Case,
    candidate: ScoreSheet,
    other: ScoreSheet,
    metric: Metric,
    line: float | None,
    gate: Gate | None,
    *,
    alpha: float | None = None,
    among: int | None = None,
) -> Lane:
    """among: gates that share alpha when one of them fails."""
    found = differences(candidate, other, metric)
    alpha = case.policy.alpha if alpha is None else alpha
    seen = _difference(found, alpha, case)
    if seen and among and line is not None and seen.upper < line:
        seen = _difference(found, alpha / among, case)
    both = [label.id for label in found.labels]
    now, then = (values_of(only(sheet, both), metric).mean for sheet in (candidate, other))
    return Lane(metric, MEANING[metric], seen, line, gate, now, then, _missing(found))


def _difference(found: Values, alpha: float, case: Case) -> Estimate | None:
    if not found.values:
        return None
    return estimate_difference(found.values, clusters_of(found.labels), alpha=alpha, how=case.policy.resampling)


def _of_old_answers(case: Case, other: ScoreSheet, touched: Mapping[str, Touch]) -> tuple[ScoreSheet, ScoreSheet]:
    """Without the questions whose answer changed with the documents since, as the gates that look for harm."""
    changed = [label for label, touch in touched.items() if touch == "answer"]
    return without(case.candidate, changed), without(other, changed)


def _share(found: Values, case: Case) -> Estimate | None:
    if not found.values:
        return None
    clusters = clusters_of(found.labels)
    return estimate_share(found.values, clusters, alpha=case.policy.alpha, how=case.policy.resampling)


def _missing(found: Values) -> str:
    if found.values:
        return ""
    return found.undefined[0] if found.undefined else "no such question"
