"""How a verdict reads on a terminal: what stopped it first, then the counts, where the reports lie, what to do next."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from flows.terminal import table
from infra.workbench import Workbench
from tasks.core.evidence import PAGE, REPORT
from tasks.core.gate import Gate, Outcome
from tasks.evaluation import Evaluation

_ORDER: tuple[Outcome, ...] = ("fail", "undecided", "reported", "pass")
_COUNTED: Mapping[Outcome, str] = {"pass": "passed", "reported": "only reported"}
_NAMED = re.compile(r"([\d,]*\d)[^.;]*? would decide")  # "about 1,200 such questions would decide it"


def report_of(bench: Workbench, evaluation: Evaluation) -> Path:
    """Where the Markdown report lies; the page lies beside it."""
    return bench.artifacts.path(evaluation.id) / REPORT


def evaluation_text(evaluation: Evaluation, report: Path, *, whole: bool = False) -> str:
    """The verdict and the gates that stopped it, and what to do next; whole: every gate."""
    shown = [gate for gate in by_weight(evaluation.gates) if whole or gate.outcome not in _COUNTED]
    todo = next_step(evaluation)
    return "\n".join([*_lines(evaluation, report, shown), *([f"next:   {todo}"] if todo else [])])


def acted_on_text(evaluation: Evaluation, report: Path, telling: Sequence[str]) -> str:
    """The same where the next step has been taken; telling: globs of gates to show although they passed."""
    told = [
        gate
        for gate in by_weight(evaluation.gates)
        if gate.outcome not in _COUNTED or any(fnmatchcase(gate.name, glob) for glob in telling)
    ]
    return "\n".join(_lines(evaluation, report, told))


def _lines(evaluation: Evaluation, report: Path, shown: Sequence[Gate]) -> list[str]:
    against = f"against {evaluation.baseline}" if evaluation.baseline else "on floors alone"
    lines = [f"{evaluation.verdict}  {evaluation.release} {against}, {evaluation.questions} questions"]
    if shown:
        lines.append(table(("outcome", "gate", "reason"), [(g.outcome, g.name, g.reason) for g in shown]))
    if len(shown) < len(evaluation.gates):
        lines.append(_counts(evaluation.gates))
    lines.append(f"report: {report}")
    page = report.with_name(PAGE)
    return [*lines, f"page:   {page}"] if page.is_file() else lines


def by_weight(gates: Sequence[Gate]) -> list[Gate]:
    """Failures first, then doubts; within each the order they were asked in."""
    return sorted(gates, key=lambda gate: _ORDER.index(gate.outcome))


def _counts(gates: Sequence[Gate]) -> str:
    times = Counter(gate.outcome for gate in gates)
    said = [f"{times[outcome]} {word}" for outcome, word in _COUNTED.items() if times[outcome]]
    return f"{', '.join(said)} of {len(gates)} gates; --all shows every one"


def next_step(evaluation: Evaluation) -> str | None:
    """The one thing to do now; None after a rejection, whose reasons say it."""
    if evaluation.verdict == "PROMOTE":
        return f"ratchet promote {evaluation.release}"
    if evaluation.verdict == "REJECT":
        return None
    wanted, counted = questions_wanted(evaluation.gates), _counted(evaluation)
    others = [gate.name for gate in evaluation.gates if gate.outcome == "undecided" and not _NAMED.search(gate.reason)]
    first = f"see to {', '.join(others)}; more labels would not decide {'it' if len(others) == 1 else 'them'}"
    if wanted is None:
        return first
    labels = (
        f"about {wanted:,} golden questions would decide every doubt that questions can, there are "
        f"{counted}: ratchet labels import FILE.jsonl, then ratchet evaluate {evaluation.release}"
    )
    return f"{first}; {labels}" if others else labels


def questions_wanted(gates: Sequence[Gate]) -> int | None:
    """The largest number of questions that an undecided gate says would decide it; None where none names one."""
    named = [found for gate in gates if gate.outcome == "undecided" for found in _NAMED.findall(gate.reason)]
    return max((int(number.replace(",", "")) for number in named), default=None)


def _counted(evaluation: Evaluation) -> str:
    """How many questions there are, and on how many of them the gate that wants most could judge."""
    wanting = [gate for gate in evaluation.gates if gate.outcome == "undecided" and _NAMED.search(gate.reason)]
    most = max(wanting, key=lambda gate: questions_wanted([gate]) or 0, default=None)
    there = f"{evaluation.questions:,}"
    return (
        there if most is None or most.n >= evaluation.questions else f"{there}, of which {most.name} counts {most.n:,}"
    )
