"""The verdict: which gates apply to a case, and what their outcomes add up to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from tasks.core.comparison import Kind, Touch
from tasks.core.gate import Gate
from tasks.core.gates.floors import beats_gate, floor_gate
from tasks.core.gates.freshness import fresh_gate
from tasks.core.gates.harm import anchor_gate, drift_gate, no_harm_gate, nothing_new_gate
from tasks.core.gates.integrity import golden_set_gate, intact_gate, leak_gate
from tasks.core.gates.invariants import format_gate, served_as_judged_gate
from tasks.core.gates.judge_trust import doubt_of, if_trusted
from tasks.core.gates.pace import pace_gate, slowest_gate
from tasks.core.gates.saving import cheaper_gate, faster_gate
from tasks.core.gates.slice_harm import slice_gates
from tasks.core.gates.superiority import best_of, better_gate, better_on_gate
from tasks.core.integrity import Integrity
from tasks.core.judging import Agreement
from tasks.core.metrics.score import METRICS, Metric
from tasks.core.pace import NOT_REHEARSED, Rehearsal
from tasks.core.policy import Policy
from tasks.core.promotion import VerdictWord
from tasks.core.scoring import ScoreSheet, without
from tasks.core.slices import slices_of


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
    anchor: ScoreSheet | None = None  # None: there is none, or it is one of the two
    anchor_touched: Mapping[str, Touch] = field(default_factory=dict)
    rehearsal: Rehearsal = NOT_REHEARSED
    agreement: Mapping[Metric, Agreement] = field(default_factory=dict)  # of the judge with people


@dataclass(frozen=True, slots=True)
class Verdict:
    """PROMOTE, HOLD or REJECT, and every gate's reason."""

    verdict: VerdictWord
    gates: tuple[Gate, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Of the gates that did not pass, failures first."""
        return tuple(g.reason for outcome in ("fail", "undecided") for g in self.gates if g.outcome == outcome)

    @property
    def doubts(self) -> tuple[str, ...]:
        """Names of the undecided gates."""
        return tuple(gate.name for gate in self.gates if gate.outcome == "undecided")


def decide(case: Case) -> Verdict:
    """One failure rejects; one doubt holds; only every gate passing promotes. Without integrity nothing else is asked.

    What is only reported neither passes nor blocks. Scores that are equal on both sides never reject. They promote a
    change of documents that changed no golden answer, once there are enough questions; they hold a new model or
    setting, which promised to be better.
    """
    gates = tuple(_integrity(case))
    if all(gate.outcome == "pass" for gate in gates):
        gates += tuple(gate for ask in _ORDER for gate in ask(case))
    outcomes = {gate.outcome for gate in gates}
    if "fail" in outcomes:
        return Verdict("REJECT", gates)
    return Verdict("HOLD" if "undecided" in outcomes else "PROMOTE", gates)


def _integrity(case: Case) -> Iterator[Gate]:
    yield intact_gate(case.integrity)
    if case.integrity.broken or case.integrity.baseline_broken:
        return  # nobody was asked anything
    sheets = [case.candidate, *(one for one in (case.baseline, case.anchor) if one), *case.trivial]
    yield golden_set_gate(sheets, case.integrity, case.policy)
    yield leak_gate(case.integrity, len(case.candidate.questions))


def _invariants(case: Case) -> Iterator[Gate]:
    if case.policy.pace.questions:
        yield served_as_judged_gate(case.candidate, case.rehearsal, case.policy)
    if case.policy.answer_schema is not None and "format" not in case.policy.floors:
        yield format_gate(case.candidate)


def _floors(case: Case) -> Iterator[Gate]:
    for metric, floor in _in_order(case.policy.floors):
        gate = floor_gate(case.candidate, metric, floor, case.policy)
        yield if_trusted(gate, metric, case.agreement, case.policy)
    for trivial in case.trivial:
        yield beats_gate(case.candidate, trivial, case.policy)


def _harm(case: Case) -> Iterator[Gate]:
    if case.baseline is None:
        return
    if not case.kinds:
        yield nothing_new_gate()
    now, then = _of_old_answers(case, case.baseline, case.touched)
    for metric, margin in _in_order(case.policy.margins):
        gate = no_harm_gate(now, then, metric, margin, case.policy)
        yield if_trusted(gate, metric, case.agreement, case.policy)


def _superiority(case: Case) -> Iterator[Gate]:
    if case.baseline is None:
        return
    if "documents" in case.kinds:
        yield fresh_gate(case.candidate, case.baseline, case.touched, case.policy)
    if "adapter" in case.kinds:
        slices = slices_of(case.candidate.labels, case.policy, case.touched)
        doubt = doubt_of(case.policy.adapter_improves, case.agreement, case.policy)
        yield better_on_gate(case.candidate, case.baseline, slices, case.policy, doubt=doubt)
    if "config" in case.kinds:
        yield _better_or_saving(case, case.baseline)


def _better_or_saving(case: Case, baseline: ScoreSheet) -> Gate:
    """Alpha is shared among all that is tried (Bonferroni), so trying more finds no more by chance."""
    policy, candidate = case.policy, case.candidate
    alpha = policy.alpha / (len(policy.config_improves) + 1 + bool(policy.pace.questions))
    tried = [
        better_gate(candidate, baseline, metric, policy, alpha=alpha, doubt=doubt_of(metric, case.agreement, policy))
        for metric in policy.config_improves
    ]
    tried.append(cheaper_gate(candidate, baseline, policy, alpha=alpha))
    if policy.pace.questions:
        tried.append(faster_gate(case.rehearsal, policy, alpha=alpha))
    return best_of(tried)


def _slices(case: Case) -> Iterator[Gate]:
    if case.baseline is not None:
        now, then = _of_old_answers(case, case.baseline, case.touched)
        yield from slice_gates(now, then, slices_of(now.labels, case.policy, case.touched), case.policy)


def _drift(case: Case) -> Iterator[Gate]:
    if case.integrity.anchor_broken and case.policy.drift_budget:
        yield anchor_gate(case.integrity)
    if case.anchor is not None:
        now, then = _of_old_answers(case, case.anchor, case.anchor_touched)
        for metric, budget in _in_order(case.policy.drift_budget):
            yield drift_gate(now, then, metric, budget, case.policy)


def _pace(case: Case) -> Iterator[Gate]:
    if not case.policy.pace.questions:
        return
    yield pace_gate(case.rehearsal, case.policy, compared=case.baseline is not None)
    if case.policy.pace.max_p95_seconds is not None:
        yield slowest_gate(case.rehearsal, case.policy.pace.max_p95_seconds, case.policy)


_ORDER: tuple[Callable[[Case], Iterator[Gate]], ...] = (
    _invariants,
    _floors,
    _harm,
    _superiority,
    _slices,
    _drift,
    _pace,
)


def _of_old_answers(case: Case, other: ScoreSheet, touched: Mapping[str, Touch]) -> tuple[ScoreSheet, ScoreSheet]:
    """Candidate and another release, without the questions whose answer changed with the documents since.

    Those are asked for freshness; what the old documents said is no measure of harm.
    """
    changed = [label for label, touch in touched.items() if touch == "answer"]
    return without(case.candidate, changed), without(other, changed)


def _in_order(numbers: Mapping[Metric, float]) -> Iterator[tuple[Metric, float]]:
    """Always the same order, whatever order a policy was written or read in."""
    return ((metric, numbers[metric]) for metric in METRICS if metric in numbers)
