"""The report: why a release passed or not, and every question that got worse, for people to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from tasks.core.answers import Answer
from tasks.core.evidence import Evidence
from tasks.core.metrics.score import MEANING, METRICS, Metric, Undefined
from tasks.core.policy import Policy
from tasks.core.scoring import Scored, ScoreSheet, differences, values_of
from tasks.core.stats import clusters_of, estimate_difference
from tasks.core.verdict import Case, Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.evaluation import Evaluation

SHOWN_BETTER = 5
_COUNTED: tuple[Metric, ...] = ("all_right", "right", "citation", "style", "recall")
_WORD = {"pass": "passed", "fail": "**failed**", "undecided": "**undecided**"}


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


def render_report(evidence: Evidence, case: Case, verdict: Verdict) -> str:
    """The whole report, as Markdown."""
    parts = [_head(evidence, case, verdict), _gates(verdict)]
    if case.candidate.questions:
        parts += [_metrics(case), *_per_question(evidence, case)]
    return "\n".join(parts)


def _head(evidence: Evidence, case: Case, verdict: Verdict) -> str:
    against = f"against {case.baseline.answerer}" if case.baseline else "as the first release, on floors alone"
    changed = f" What is new: {', '.join(case.kinds)}." if case.kinds else ""
    reasons = verdict.reasons
    why = reasons[0] if reasons else f"All {len(verdict.gates)} gates passed."
    more = f" ({len(reasons) - 1} more below.)" if len(reasons) > 1 else ""
    return (
        f"# {verdict.verdict}: {evidence.candidate.id}\n{why}{more}\n"
        f"Judged {against} on {len(case.candidate.questions)} golden questions "
        f"({evidence.integrity.golden_set or 'no golden set'}).{changed}\n"
    )


def _gates(verdict: Verdict) -> str:
    rows = [(gate.name, _WORD[gate.outcome], gate.reason) for gate in verdict.gates]
    return _section("Gates", _table(("gate", "", "why"), rows))


# ── metrics ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _metrics(case: Case) -> str:
    sheets = [case.candidate, *([case.baseline] if case.baseline else []), *case.trivial]
    names = ["candidate", *(["current"] if case.baseline else []), *(t.answerer for t in case.trivial)]
    headings = ["metric", names[0], *(["current", "difference [95 %]"] if case.baseline else []), "n", *names[-2:]]
    rows = [_metric_row(case, metric) for metric in METRICS]
    legend = "\n".join(f"- `{metric}`: {MEANING[metric]}" for metric in METRICS)
    tokens = ", ".join(f"{name} {_tokens(sheet)}" for name, sheet in zip(names[:2], sheets[:2], strict=False))
    return _section("Scores", f"{_table(headings, rows)}\n\n{legend}\n\nTokens per question, read + written: {tokens}.")


def _metric_row(case: Case, metric: Metric) -> list[str]:
    row = [metric, _mean(case.candidate, metric)]
    if case.baseline:
        row += [_mean(case.baseline, metric), _interval(case.candidate, case.baseline, metric, case.policy)]
    row.append(str(len(values_of(case.candidate, metric).values)))
    return row + [_mean(trivial, metric) for trivial in case.trivial]


def _mean(sheet: ScoreSheet, metric: Metric) -> str:
    mean = values_of(sheet, metric).mean
    return "undefined" if mean is None else f"{100 * mean:.1f}"


def _interval(candidate: ScoreSheet, baseline: ScoreSheet, metric: Metric, policy: Policy) -> str:
    found = differences(candidate, baseline, metric)
    if not found.values:
        return "undefined"
    seen = estimate_difference(found.values, clusters_of(found.labels), alpha=0.025, how=policy.resampling)
    return f"{100 * seen.mean:+.1f} [{100 * seen.lower:+.1f}, {100 * seen.upper:+.1f}]"


def _tokens(sheet: ScoreSheet) -> str:
    n = len(sheet.questions)
    read = sum(q.answer.prompt_tokens for q in sheet.questions) / n
    written = sum(q.answer.completion_tokens for q in sheet.questions) / n
    return f"{read:.0f} + {written:.0f}"


# ── question by question ─────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Pair:
    now: Scored
    then: Scored

    def change(self, metric: Metric) -> float:
        new, old = self.now.scores[metric], self.then.scores[metric]
        return 0.0 if isinstance(new, Undefined) or isinstance(old, Undefined) else new - old

    @property
    def weight(self) -> tuple[float, ...]:
        """Negative is worse; what matters most first."""
        return tuple(self.change(metric) for metric in _COUNTED)

    @property
    def worse(self) -> bool:
        return any(change < 0 for change in self.weight)

    @property
    def better(self) -> bool:
        return not self.worse and any(change > 0 for change in self.weight)


def _per_question(evidence: Evidence, case: Case) -> Iterator[str]:
    if case.baseline is None:
        wrong = [q for q in case.candidate.questions if q.scores["all_right"] != 1.0]
        yield _section(f"Not wholly right: {len(wrong)}", "\n".join(_block(q, None, "") for q in wrong) or "None.")
        return
    pairs = [_Pair(now, then) for now, then in zip(case.candidate.questions, case.baseline.questions, strict=True)]
    worse = sorted((pair for pair in pairs if pair.worse), key=lambda pair: (pair.weight, pair.now.label.id))
    better = sorted((pair for pair in pairs if pair.better), key=lambda pair: pair.weight, reverse=True)
    changed = [pair for pair in pairs if evidence.touched.get(pair.now.label.id) == "answer"]
    if "documents" in case.kinds:
        yield _section(f"Answer changed with the documents: {len(changed)}", _blocks(changed))
    yield _section(f"Got worse: {len(worse)}", _blocks(worse))
    shown = better[:SHOWN_BETTER]
    yield _section(f"Got better: {len(better)}{', the first few' if len(better) > len(shown) else ''}", _blocks(shown))


def _blocks(pairs: Sequence[_Pair]) -> str:
    return "\n".join(_block(pair.now, pair.then, _changes(pair)) for pair in pairs) or "None."


def _changes(pair: _Pair) -> str:
    moved = [f"{metric} {pair.change(metric):+g}" for metric in _COUNTED if pair.change(metric)]
    return f" ({', '.join(moved)})" if moved else " (scores as before)"


def _block(now: Scored, then: Scored | None, changes: str) -> str:
    label = now.label
    pages = ", ".join(label.documents) or "no page named"
    rows = [("ideal", "declines" if label.unanswerable else label.answer), ("candidate", _said(now.answer))]
    if then is not None:
        rows.append(("current", _said(then.answer)))
    return f"**{_plain(label.question)}**{changes}  \n{pages} · {label.id}\n\n{_table(('', 'answer'), rows)}\n"


def _said(answer: Answer) -> str:
    cited = ", ".join(dict.fromkeys(citation.document for citation in answer.citations))
    because = f" (declined: {answer.abstained_because}; wrote: {answer.raw})" if answer.abstained else ""
    return answer.text + (f" ← {cited}" if cited else "") + because


# ── Markdown ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}\n"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(_plain(cell) for cell in line) + " |" for line in lines)


def _plain(text: str) -> str:
    """Text that stays in its cell and cannot pose as Markdown or HTML."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
