"""Whether the numbers may be believed at all. Nothing else is asked of a release before these pass."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.core.gate import Gate
from tasks.core.integrity import Integrity
from tasks.core.labels import golden_set
from tasks.core.policy import Policy
from tasks.core.scoring import ScoreSheet
from tasks.core.stats import least_questions


def intact_gate(integrity: Integrity) -> Gate:
    """Every part is what was recorded."""
    if integrity.broken:
        return Gate("intact", "fail", _first_of(integrity.broken))
    if integrity.baseline_broken:
        return Gate(
            "intact", "undecided", f"The current release cannot be asked. {_first_of(integrity.baseline_broken)}"
        )
    return Gate("intact", "pass", "Snapshot, index and model are what was recorded.")


def golden_set_gate(sheets: Sequence[ScoreSheet], integrity: Integrity, policy: Policy) -> Gate:
    """Every answerer answered exactly the frozen golden set, each question with an answer to it."""
    n = len(sheets[0].questions)
    if integrity.golden_set is None or not n:
        least = max((least_questions(margin, alpha=policy.alpha) for margin in policy.margins.values()), default=0)
        needed = max(least, policy.minimum_questions)
        reason = f"There is no golden question: {needed} on different pages is the least that would decide."
        return Gate("golden-set", "undecided", reason)
    for sheet in sheets:
        asked = golden_set(sheet.labels)
        if asked is None or asked.id != integrity.golden_set or len(asked.label_ids) != len(sheet.questions):
            reason = f"{sheet.answerer} answered {asked.id if asked else 'no golden set'}, not {integrity.golden_set}."
            return Gate("golden-set", "fail", reason, n=n)
        if stray := [q.label.id for q in sheet.questions if q.answer.question != q.label.question]:
            reason = f"{sheet.answerer} answered another question than {stray[0]} asks. Evaluate the release again."
            return Gate("golden-set", "fail", reason, n=n)
    return Gate("golden-set", "pass", f"All answered the same {n} questions of {integrity.golden_set}.", n=n)


def leak_gate(integrity: Integrity, n: int) -> Gate:
    """No golden question, page or wording was trained on."""
    found = float(len(integrity.leaks))
    if integrity.leaks:
        return Gate("no-leak", "fail", _first_of(integrity.leaks), found, 0.0, n)
    if integrity.unchecked is not None:
        return Gate("no-leak", "undecided", integrity.unchecked, n=n)
    return Gate("no-leak", "pass", "No golden question, page or wording was trained on.", found, 0.0, n)


def _first_of(sentences: Sequence[str]) -> str:
    more = len(sentences) - 1
    return sentences[0] + (f" And {more} more like it." if more else "")
