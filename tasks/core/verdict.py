"""The verdict: which gates apply to a case, and what their outcomes add up to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tasks.core.comparison import Kind, Touch
from tasks.core.gate import Gate
from tasks.core.gates import (
    beats_gate,
    floor_gate,
    fresh_gate,
    golden_set_gate,
    improves_gate,
    intact_gate,
    leak_gate,
    no_harm_gate,
    nothing_new_gate,
)
from tasks.core.integrity import Integrity
from tasks.core.metrics.score import METRICS, Metric
from tasks.core.policy import Policy
from tasks.core.promotion import VerdictWord
from tasks.core.scoring import ScoreSheet, without


@dataclass(frozen=True, slots=True)
class Case:
    """Everything a verdict depends on."""

    policy: Policy
    candidate: ScoreSheet
    baseline: ScoreSheet | None  # None: the first release, judged on floors alone
    trivial: tuple[ScoreSheet, ...]
    integrity: Integrity
    kinds: tuple[Kind, ...] = ()  # empty with a baseline: the candidate is the release being served
    touched: Mapping[str, Touch] = field(default_factory=dict)  # golden questions that changed with the documents


@dataclass(frozen=True, slots=True)
class Verdict:
    """PROMOTE, HOLD or REJECT, and every gate's reason."""

    verdict: VerdictWord
    gates: tuple[Gate, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Of the gates that did not pass, failures first."""
        return tuple(g.reason for outcome in ("fail", "undecided") for g in self.gates if g.outcome == outcome)


def decide(case: Case) -> Verdict:
    """One failure rejects; one doubt holds; only every gate passing promotes. Without integrity nothing else is asked.

    Scores that are equal on both sides never reject. They promote a change of documents that changed no golden answer,
    once there are enough questions; they hold a new model or setting, which promised to be better.
    """
    gates = tuple(_integrity(case))
    if all(gate.outcome == "pass" for gate in gates):
        gates += (*_absolute(case), *_against_baseline(case))
    outcomes = {gate.outcome for gate in gates}
    if "fail" in outcomes:
        return Verdict("REJECT", gates)
    return Verdict("HOLD" if "undecided" in outcomes else "PROMOTE", gates)


def _integrity(case: Case) -> Iterator[Gate]:
    yield intact_gate(case.integrity)
    if case.integrity.broken or case.integrity.baseline_broken:
        return  # nobody was asked anything
    sheets = [case.candidate, *([case.baseline] if case.baseline else []), *case.trivial]
    yield golden_set_gate(sheets, case.integrity, case.policy)
    yield leak_gate(case.integrity, len(case.candidate.questions))


def _absolute(case: Case) -> Iterator[Gate]:
    for metric, floor in _in_order(case.policy.floors):
        yield floor_gate(case.candidate, metric, floor, case.policy)
    for trivial in case.trivial:
        yield beats_gate(case.candidate, trivial, case.policy)


def _against_baseline(case: Case) -> Iterator[Gate]:
    if case.baseline is None:
        return
    policy, baseline = case.policy, case.baseline
    if not case.kinds:
        yield nothing_new_gate()
    # A question whose answer changed with the documents is asked for freshness; the old answer is no measure of harm.
    changed = [label for label, touch in case.touched.items() if touch == "answer"]
    then, now = without(baseline, changed), without(case.candidate, changed)
    for metric, margin in _in_order(policy.margins):
        yield no_harm_gate(now, then, metric, margin, policy)
    if "documents" in case.kinds:
        yield fresh_gate(case.candidate, baseline, case.touched, policy)
    if "adapter" in case.kinds:
        yield improves_gate(case.candidate, baseline, (policy.adapter_improves,), policy)
    if "config" in case.kinds:
        yield improves_gate(case.candidate, baseline, policy.config_improves, policy)


def _in_order(numbers: Mapping[Metric, float]) -> Iterator[tuple[Metric, float]]:
    """Always the same order, whatever order a policy was written or read in."""
    return ((metric, numbers[metric]) for metric in METRICS if metric in numbers)
