"""The report in brief: why a release passed or not, as Markdown and as tables, for Prefect and for terminals.

The whole of it, with plots and every question, is the page (`tasks/report_page.py`).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from tasks.core.answers import Answer
from tasks.core.evidence import Evidence
from tasks.core.gate import Gate
from tasks.core.gates.judge_trust import doubt_of
from tasks.core.metrics.score import JUDGED, METRICS, Metric
from tasks.core.report.changes import changes_between
from tasks.core.report.cost import spent_by
from tasks.core.report.lanes import Lane, harm_lanes, known, slice_lanes
from tasks.core.report.pairs import COUNTED, Pair, pairs_of
from tasks.core.report.words import PACE, WORD, bound, headline, measured, next_steps, worst_first
from tasks.core.scoring import ScoreSheet, values_of
from tasks.core.verdict import Case, Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.evaluation import Evaluation

SHOWN_WORSE = 10
SHOWN_BETTER = 5
LONGEST_CELL = 400  # characters of one text


def gate_rows(evaluation: Evaluation, report: Path | None) -> dict[str, object]:
    """What `ratchet evaluate --json` prints."""
    return {
        "verdict": evaluation.verdict,
        "release": evaluation.release,
        "baseline": evaluation.baseline,
        "questions": evaluation.questions,
        "gates": [asdict(gate) for gate in evaluation.gates],
        "report": str(report) if report else None,
    }


def gate_table(evaluation: Evaluation) -> list[dict[str, str]]:
    """One row a gate, failures and doubts first, for a table in Prefect's UI."""
    return [
        {
            "gate": gate.name,
            "outcome": WORD[gate.outcome],
            "value": measured(gate, gate.value),
            "bound": bound(gate),
            "n": str(gate.n or ""),
            "why": gate.reason,
        }
        for gate in worst_first(evaluation.gates)
    ]


def render_report(evidence: Evidence, case: Case, verdict: Verdict) -> str:
    """The report in brief."""
    parts = [_head(evidence, case, verdict), *_gates(verdict)]
    if case.candidate.questions:
        parts += [*_scores(case, verdict), *_slices(case, verdict), _pace(case, verdict), *_judge(evidence, case)]
        parts += _per_question(case)
    return "\n".join(parts)


def _head(evidence: Evidence, case: Case, verdict: Verdict) -> str:
    against = f"against {case.baseline.answerer}" if case.baseline else "as the first release, on floors alone"
    golden = evidence.integrity.golden_set or "no golden set"
    steps = [
        f"- {step.text}" + (f" `{step.command}`" if step.command else "") for step in next_steps(evidence, verdict)
    ]
    lines = [
        f"# {verdict.verdict}: {evidence.candidate.id}",
        headline(case, verdict),
        f"Judged {against} on {len(case.candidate.questions)} golden questions ({golden}).{_changed(evidence, case)}",
        "",
        *steps,
    ]
    return "\n".join(lines) + "\n"


def _changed(evidence: Evidence, case: Case) -> str:
    if evidence.baseline is None or not case.kinds:
        return ""
    names = [change.name for change in changes_between(evidence.baseline, evidence.candidate)]
    return f" What is new: {', '.join(case.kinds)} ({_plain(', '.join(names))})."


def _gates(verdict: Verdict) -> Iterator[str]:
    first = [gate for gate in worst_first(verdict.gates) if gate.outcome in ("fail", "undecided")]
    rest = [gate for gate in worst_first(verdict.gates) if gate not in first]
    if first:
        rows = [(gate.name, f"**{WORD[gate.outcome]}**", gate.reason) for gate in first]
        yield _section("Did not pass", _table(("gate", "", "why"), rows, trusted=(1,)))
    if rest:
        yield _section("Gates", _table(("gate", "", "value", "bound", "n"), [_gate_row(gate) for gate in rest]))


def _gate_row(gate: Gate) -> list[str]:
    return [gate.name, WORD[gate.outcome], measured(gate, gate.value), bound(gate), str(gate.n or "")]


# ── scores ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _scores(case: Case, verdict: Verdict) -> Iterator[str]:
    """What a gate looks at, then what is only known."""
    lanes = {lane.name: lane for lane in known(harm_lanes(case, verdict))}
    gated = [m for m in METRICS if m in case.policy.floors or m in case.policy.margins or m in COUNTED]
    shown = [m for m in METRICS if values_of(case.candidate, m).values or m in lanes]
    for title, metrics in (("Scores", gated), ("More scores", [m for m in METRICS if m not in gated])):
        rows = [_metric_row(case, metric, lanes.get(metric)) for metric in metrics if metric in shown]
        if rows:
            yield _section(title, _table(_headings(case), rows))


def _headings(case: Case) -> list[str]:
    against = ["current", f"difference [{100 * (1 - 2 * case.policy.alpha):.0f} %]"] if case.baseline else []
    return ["metric", "candidate", *against, "n", *(trivial.answerer for trivial in case.trivial)]


def _metric_row(case: Case, metric: Metric, lane: Lane | None) -> list[str]:
    row = [metric, _mean(case.candidate, metric)]
    if case.baseline:
        row += [_mean(case.baseline, metric), _interval(lane)]
    row.append(str(len(values_of(case.candidate, metric).values)))
    return row + [_mean(trivial, metric) for trivial in case.trivial]


def _mean(sheet: ScoreSheet, metric: Metric) -> str:
    mean = values_of(sheet, metric).mean
    return "undefined" if mean is None else f"{100 * mean:.1f}"


def _interval(lane: Lane | None) -> str:
    if lane is None or lane.seen is None:
        return "undefined"
    seen = lane.seen
    return f"{100 * seen.mean:+.1f} [{100 * seen.lower:+.1f}, {100 * seen.upper:+.1f}]"


def _slices(case: Case, verdict: Verdict) -> Iterator[str]:
    lanes = slice_lanes(case, verdict)
    if lanes:
        yield _section("Slices", _table(("slice", "right", "current", "difference", "n", ""), map(_slice_row, lanes)))


def _slice_row(lane: Lane) -> list[str]:
    now, then = (f"{100 * x:.1f}" if x is not None else "" for x in (lane.now, lane.then))
    outcome = WORD[lane.gate.outcome] if lane.gate else ""
    return [lane.name, now, then, _interval(lane) if then else "", str(lane.seen.n if lane.seen else 0), outcome]


def _pace(case: Case, verdict: Verdict) -> str:
    said = [f"{_plain(gate.reason)} " for gate in verdict.gates if gate.name in PACE]
    sheets = {"candidate": case.candidate, "current": case.baseline}
    spent = {name: spent_by(sheet, case.policy) for name, sheet in sheets.items() if sheet}
    tokens = ", ".join(f"{name} {of.read:.0f} + {of.written:.0f}" for name, of in spent.items())
    costs = ", ".join(f"{name} ${of.cost_usd:.6f}" for name, of in spent.items() if of.cost_usd is not None)
    text = f"{''.join(said)}Tokens per question, read + written: {tokens}."
    return _section("Pace and cost", text + (f" Cost per question: {costs}." if costs else ""))


def _judge(evidence: Evidence, case: Case) -> Iterator[str]:
    if evidence.judged is None:
        return
    doubts = {metric: doubt_of(metric, case.agreement, case.policy) for metric in JUDGED}
    lines = [
        f"- {metric}: {_plain(doubt or 'decides, because it agrees with people.')}" for metric, doubt in doubts.items()
    ]
    cost = f"{evidence.judged.calls:,} calls, ${evidence.judged.cost_usd:.4f}."
    unfinished = f" {_plain(evidence.judged.unfinished)}" if evidence.judged.unfinished else ""
    yield _section("The judge", "\n".join([*lines, "", cost + unfinished]))


# ── question by question ─────────────────────────────────────────────────────────────────────────────────────────────


def _per_question(case: Case) -> Iterator[str]:
    pairs = pairs_of(case)
    if case.baseline is None:
        yield _blocks("Not wholly right", [pair for pair in pairs if not pair.wholly_right], SHOWN_WORSE)
        return
    if "documents" in case.kinds:
        changed = [pair for pair in pairs if pair.touch == "answer"]
        yield _blocks("Answer changed with the documents", changed, SHOWN_BETTER)
    yield _blocks("Got worse", [pair for pair in pairs if pair.way == "worse"], SHOWN_WORSE)
    yield _blocks("Got better", [pair for pair in pairs if pair.way == "better"], SHOWN_BETTER)


def _blocks(title: str, pairs: Sequence[Pair], most: int) -> str:
    few = f", the first {most}" if len(pairs) > most else ""
    return _section(f"{title}: {len(pairs)}{few}", "\n".join(map(_block, pairs[:most])) or "None.")


def _block(pair: Pair) -> str:
    label = pair.now.label
    rows = [("ideal", "declines" if label.unanswerable else label.answer), ("candidate", _said(pair.now.answer))]
    if pair.then is not None:
        rows.append(("current", _said(pair.then.answer)))
    pages = _plain(", ".join(label.documents)) or "no page named"
    return f"**{_plain(label.question)}**{_moved(pair)}  \n{pages} · {label.id}\n\n{_table(('', 'answer'), rows)}\n"


def _moved(pair: Pair) -> str:
    if pair.then is None:
        return ""
    moved = [f"{metric} {pair.change(metric):+g}" for metric in COUNTED if pair.change(metric)]
    return f" ({', '.join(moved)})" if moved else " (scores as before)"


def _said(answer: Answer) -> str:
    cited = ", ".join(dict.fromkeys(citation.document for citation in answer.citations))
    because = f" (declined: {answer.abstained_because}; wrote: {answer.raw})" if answer.abstained else ""
    return answer.text + (f" ← {cited}" if cited else "") + because


# ── Markdown ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}\n"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, trusted: Sequence[int] = ()) -> str:
    """trusted: columns that may hold Markdown."""
    lines = [headings, ["---"] * len(headings)]
    lines += [[cell if n in trusted else _plain(cell) for n, cell in enumerate(row)] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


_ESCAPED = str.maketrans({"\\": "\\\\", "|": "\\|", "<": "&lt;", "`": "\\`", "*": "\\*", "~": "\\~"})


def _plain(text: str) -> str:
    """Text that stays in its cell and can pose neither as Markdown nor as HTML, nor fetch anything."""
    visible = "".join(c for c in " ".join(text.split()) if unicodedata.category(c) not in ("Cc", "Cf", "Cs"))
    short = visible if len(visible) <= LONGEST_CELL else visible[:LONGEST_CELL] + "…"
    return short.translate(_ESCAPED).replace("](", "]\\(")
