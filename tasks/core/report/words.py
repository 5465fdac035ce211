"""Words: a verdict as people say it, what to do next, and the gates in the order in which they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tasks.core.evidence import Evidence
from tasks.core.gate import Gate, Outcome
from tasks.core.policy import NEVER_OVERRIDDEN, HoldOverride
from tasks.core.promotion import covers
from tasks.core.verdict import Case, Verdict

WORD: dict[Outcome, str] = {"fail": "failed", "undecided": "undecided", "pass": "passed", "reported": "for information"}
_ORDER: tuple[Outcome, ...] = ("fail", "undecided", "pass", "reported")
_INTEGRITY = ("intact", "golden-set", "no-leak")
PACE = ("pace", "pace-p95", "served-as-judged")
_CURRENT = ("no-harm-", "better-")
_CURRENT_WHOLE = ("fresh", "something-new", "cheaper", "faster")


@dataclass(frozen=True, slots=True)
class GateGroup:
    """Gates that ask the same of different things, failures and doubts first."""

    title: str
    gates: tuple[Gate, ...]

    def count(self, outcome: Outcome) -> int:
        """How many came out so."""
        return sum(gate.outcome == outcome for gate in self.gates)


def grouped(gates: Sequence[Gate]) -> tuple[GateGroup, ...]:
    """The groups that have gates, those with failures and doubts first."""
    titles = ("Integrity", "Floors", "Against the current release", "Slices", "Drift", "Pace", "Other")
    groups = [GateGroup(title, tuple(g for g in worst_first(gates) if _title(g.name) == title)) for title in titles]
    return tuple(sorted((g for g in groups if g.gates), key=lambda g: _ORDER.index(g.gates[0].outcome)))


def worst_first(gates: Sequence[Gate]) -> tuple[Gate, ...]:
    """Failures, doubts, passes, and what decides nothing."""
    return tuple(sorted(gates, key=lambda gate: _ORDER.index(gate.outcome)))


def _title(name: str) -> str:
    rules: Sequence[tuple[str, Callable[[], bool]]] = (
        ("Integrity", lambda: name in _INTEGRITY),
        ("Floors", lambda: name.startswith(("floor-", "beats-")) or name == "format"),
        ("Against the current release", lambda: name.startswith(_CURRENT) or name in _CURRENT_WHOLE),
        ("Slices", lambda: name.startswith("slice-")),
        ("Drift", lambda: name.startswith("drift-") or name == "anchor"),
        ("Pace", lambda: name in PACE),
    )
    return next((title for title, holds in rules if holds()), "Other")


def headline(case: Case, verdict: Verdict) -> str:
    """The verdict for somebody who reads one sentence."""
    n, gates = len(case.candidate.questions), [g for g in verdict.gates if g.outcome != "reported"]
    failed = sum(g.outcome == "fail" for g in gates)
    doubtful = sum(g.outcome == "undecided" for g in gates)
    if verdict.verdict == "REJECT":
        return f"This release must not go live: {_of(failed, len(gates))} failed."
    if verdict.verdict == "HOLD":
        return f"Not yet: {_of(doubtful, len(gates))} could not be decided; nothing was found to be wrong."
    against = "against the current release" if case.baseline else "as the first release"
    return f"This release may go live: it passed all {len(gates)} checks on {n} questions, {against}."


def _of(n: int, total: int) -> str:
    return f"{n} of {total} checks"


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do, and the command that does it."""

    text: str
    command: str = ""


def next_steps(evidence: Evidence, verdict: Verdict) -> tuple[Step, ...]:
    """What to do now."""
    steps = {"PROMOTE": _after_promote, "HOLD": _after_hold, "REJECT": _after_reject}[verdict.verdict]
    return tuple(steps(evidence, verdict))


def _after_promote(evidence: Evidence, verdict: Verdict) -> Iterator[Step]:
    yield Step("Put it live:", f"ratchet promote {evidence.candidate.id}")
    ask = evidence.policy.approval.ask
    if ask == "always" or (ask == "new-model" and _new_model(evidence)):
        hours = f"{evidence.policy.approval.timeout_hours:g}"
        yield Step(f"In Prefect the promotion waits for a person's approval; none within {hours} hours is a no.")


def _after_hold(evidence: Evidence, verdict: Verdict) -> Iterator[Step]:
    doubts = [gate.name for gate in verdict.gates if gate.outcome == "undecided"]
    if evidence.integrity.baseline_broken:
        yield Step("Repair the current release, or go back to one that can be asked:", "ratchet rollback")
    elif any(gate.n or gate.name == "golden-set" for gate in verdict.gates if gate.outcome == "undecided"):
        text = "Add reviewed golden questions as the reasons say, on pages that have none yet:"
        yield Step(text, "ratchet labels import FILE.jsonl")
    yield Step("Then ask again:", f"ratchet evaluate {evidence.candidate.id}")
    yield Step(_who_may_accept(doubts, evidence.policy.override))


def _who_may_accept(doubts: Sequence[str], override: HoldOverride) -> str:
    closed = any(name in NEVER_OVERRIDDEN or not covers(override.gates, name) for name in doubts)
    if closed or not override.who:
        return "The policy lets nobody accept these doubts."
    who = "Anybody" if "*" in override.who else " or ".join(override.who)
    return f"{who} may accept these doubts with a recorded reason: the policy allows it."


def _after_reject(evidence: Evidence, verdict: Verdict) -> Iterator[Step]:
    if evidence.integrity.broken:
        yield Step("Restore what is broken, then ask again:", f"ratchet evaluate {evidence.candidate.id}")
    else:
        yield Step("Look at the questions that got worse, mend their cause, and make a new candidate.")
    stays = "The current release stays live" if evidence.baseline else "Nothing goes live"
    yield Step(f"{stays}. A failure cannot be overridden.")


def _new_model(evidence: Evidence) -> bool:
    return evidence.baseline is None or evidence.candidate.model != evidence.baseline.model


def measured(gate: Gate, number: float | None) -> str:
    """A gate's value in the unit of its gate."""
    if number is None:
        return ""
    if gate.name.startswith("floor-") or gate.name in ("format", "served-as-judged", "cheaper", "faster"):
        return f"{100 * number:.1f} %"
    if gate.name.startswith(("no-harm-", "better-", "beats-", "slice-", "drift-")) or gate.name == "fresh":
        return f"{100 * number:+.1f}"
    return f"{number:.3g}" + {"pace": " ×", "pace-p95": " s"}.get(gate.name, "")


def bound(gate: Gate) -> str:
    """What the value was judged by: in its unit, or the chance that decided."""
    if gate.bound is not None and (gate.name in ("fresh", "faster") or "(p = " in gate.reason):
        return f"p {gate.bound:.3f}"
    return measured(gate, gate.bound)
