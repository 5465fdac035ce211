"""The report page: one HTML file that needs nothing else, to be opened from a disk or mailed.

Everything in it that a document, a label or a model wrote is escaped, and the page forbids the browser whatever it
does not bring along itself: no address is ever asked.
"""

from __future__ import annotations

import base64
import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from tasks.core.answers import Answer, Passage
from tasks.core.evidence import Evidence
from tasks.core.gates.judge_trust import doubt_of
from tasks.core.judging import Agreement
from tasks.core.metrics.score import JUDGED, MEANING, METRICS, Metric, Score, Undefined
from tasks.core.report.changes import changes_between
from tasks.core.report.cost import Spent, spent_by
from tasks.core.report.lanes import (
    Lane,
    better_lanes,
    drift_lanes,
    floor_lanes,
    gate_named,
    harm_lanes,
    known,
    slice_lanes,
)
from tasks.core.report.pairs import Pair, pairs_of
from tasks.core.report.rehearsed import Asked, rehearsed
from tasks.core.report.scale import Scale, scale_of, seconds_scale
from tasks.core.report.words import WORD, bound, grouped, headline, measured, next_steps, worst_first
from tasks.core.scoring import ScoreSheet, values_of
from tasks.core.verdict import Case, Verdict

if TYPE_CHECKING:
    from jinja2 import Environment

LONGEST_ANSWER = 3_000  # characters shown of one text
LONGEST_PASSAGE = 1_500
PASSAGES_SHOWN = 450_000  # characters of passages in all, the questions that got worse first: mail has limits
_GLYPH = {"pass": "✓", "fail": "✕", "undecided": "?", "reported": "i"}
_VERDICT_GLYPH = {"PROMOTE": "✓", "HOLD": "?", "REJECT": "✕"}


def render_page(evidence: Evidence, case: Case, verdict: Verdict) -> str:
    """The whole page. The same evidence gives the same bytes."""
    pairs = pairs_of(case)
    harm = harm_lanes(case, verdict)
    parts: dict[str, object] = {
        "evidence": evidence,
        "case": case,
        "verdict": verdict,
        "verdict_glyph": _VERDICT_GLYPH[verdict.verdict],
        "headline": headline(case, verdict),
        "steps": next_steps(evidence, verdict),
        "stopped_by": [g for g in worst_first(verdict.gates) if g.outcome in ("fail", "undecided")],
        "groups": grouped(verdict.gates),
        "changes": changes_between(evidence.baseline, evidence.candidate) if evidence.baseline else (),
        "touched": _counts(list(case.touched.values())),
        "harm": [lane for lane in known(harm) if lane.line is not None],
        "others": [lane for lane in known(harm) if lane.line is None],
        "better": better_lanes(case, verdict),
        "together": gate_named(verdict, "better-at-one"),
        "floors": floor_lanes(case, verdict),
        "drift": drift_lanes(case, verdict),
        "slices": slice_lanes(case, verdict),
        "spent": _spent(case),
        "rehearsed": rehearsed(evidence),
        "judge_rows": _judge_rows(case),
        "metrics": [m for m in METRICS if values_of(case.candidate, m).values],
        "pairs": pairs,
        "ways": _counts([pair.way for pair in pairs]),
        "with_passages": _within_budget(pairs),
    }
    return _environment().get_template("report_page.html").render(parts)


def _spent(case: Case) -> Mapping[str, Spent]:
    sheets = {"candidate": case.candidate, "current": case.baseline, "anchor": case.anchor}
    return {name: spent_by(sheet, case.policy) for name, sheet in sheets.items() if sheet and sheet.questions}


def _judge_rows(case: Case) -> Sequence[tuple[Metric, Agreement | None, str | None]]:
    """Judged metric, agreement with people, and why it may not decide."""
    return [(metric, case.agreement.get(metric), doubt_of(metric, case.agreement, case.policy)) for metric in JUDGED]


def _counts(words: Sequence[str]) -> Mapping[str, int]:
    return {word: words.count(word) for word in ("worse", "better", "same", "answer", "page")}


def _within_budget(pairs: Sequence[Pair]) -> frozenset[str]:
    """Ids of the labels whose passages are shown."""
    left, shown = PASSAGES_SHOWN, set()
    for pair in pairs:
        left -= sum(min(len(p.text), LONGEST_PASSAGE) for _, passages in passages_of(pair) for p in passages)
        if left < 0:
            break
        shown.add(pair.now.label.id)
    return frozenset(shown)


def passages_of(pair: Pair) -> Sequence[tuple[str, Sequence[Passage]]]:
    """The passages that were shown, with whom they were shown to: once where both saw the same."""
    mine = pair.now.answer.contexts
    if pair.then is None:
        return [("", mine)]
    theirs = pair.then.answer.contexts
    if [(p.document, p.text) for p in mine] == [(p.document, p.text) for p in theirs]:
        return [("to both", mine)]
    return [("to the candidate", mine), ("to the current release", theirs)]


# ── how things are written ───────────────────────────────────────────────────────────────────────────────────────────


def shown(text: str, longest: int = LONGEST_ANSWER) -> str:
    """Text without control characters, cut where it is too long."""
    clean = "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs"))
    return clean if len(clean) <= longest else f"{clean[:longest]}… ({len(clean) - longest:,} more characters)"


def percent(value: float | None) -> str:
    """0.705 → 70.5."""
    return "–" if value is None else f"{100 * value:.1f}"


def points(value: float | None) -> str:
    """A difference, with a minus sign that is as wide as the plus."""
    return "–" if value is None else f"{100 * value:+.1f}".replace("-", "−")


def score(value: Score) -> str:
    """One question's score."""
    return "–" if isinstance(value, Undefined) else f"{value:.2f}".rstrip("0").rstrip(".")


def _cited(answer: Answer) -> str:
    return ", ".join(dict.fromkeys(f"[{c.marker}] {c.document}" for c in answer.citations))


def _spoken(lane: Lane, kind: str) -> str:
    """A lane for those who cannot see it."""
    if lane.seen is None:
        return f"{lane.name}: not known, {lane.missing}"
    seen, write, unit = (
        lane.seen,
        (percent if kind == "share" else points),
        ("percent" if kind == "share" else "points"),
    )
    text = f"{lane.name}: {write(seen.mean)} {unit}, between {write(seen.lower)} and {write(seen.upper)}"
    if lane.line is not None:
        text += f"; the line is at {write(lane.line)}"
    return text + (f"; {WORD[lane.gate.outcome]}" if lane.gate else "")


def seconds(value: float | None) -> str:
    """As a clock shows them."""
    return "–" if value is None else f"{value:.2f} s"


def _seconds_scale(rows: Sequence[Asked]) -> Scale:
    return seconds_scale([s for row in rows for s in (row.now, row.then) if s is not None])


def _mean(sheet: ScoreSheet, metric: Metric) -> str:
    return percent(values_of(sheet, metric).mean)


def _scale(lanes: Sequence[Lane], kind: str) -> Scale:
    return scale_of(lanes, share=kind == "share")


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("tasks"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"shown": shown, "percent": percent, "points": points, "score": score, "seconds": seconds}
    environment.globals |= {
        "MEANING": MEANING,
        "WORD": WORD,
        "GLYPH": _GLYPH,
        "LONGEST_PASSAGE": LONGEST_PASSAGE,
        "bound": bound,
        "cited": _cited,
        "mean": _mean,
        "measured": measured,
        "percent": percent,
        "passages_of": passages_of,
        "scale_of": _scale,
        "seconds_scale_of": _seconds_scale,
        "spoken": _spoken,
    }
    for name in ("css", "js"):
        text = _source(environment, f"report_page.{name}")
        environment.globals |= {name: Markup(text), f"{name}_hash": _hash(text)}
    return environment


def _source(environment: Environment, name: str) -> str:
    loader = environment.loader
    assert loader is not None
    return loader.get_source(environment, name)[0]


def _hash(text: str) -> str:
    """As a content security policy names the one script or style that may run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
