"""Whether a release knows what the documents say now."""

from __future__ import annotations

from collections.abc import Mapping

from tasks.core.comparison import Touch
from tasks.core.gate import Gate, Outcome
from tasks.core.missing import changes, shares
from tasks.core.policy import Policy
from tasks.core.scoring import ScoreSheet, only
from tasks.core.stats import sign_test


def fresh_gate(candidate: ScoreSheet, baseline: ScoreSheet, touched: Mapping[str, Touch], policy: Policy) -> Gate:
    """Questions whose answer changed with the documents are answered from the new text.

    All of them are asked, they are no sample of pages. So when every one is right, nothing is left to doubt, be it a
    single one: most edits change one or two answers. Otherwise an exact sign test over questions, without clusters,
    guards against answers that flip by chance.
    """
    changed = [label for label, touch in touched.items() if touch == "answer"]
    if not changed:
        return Gate("fresh", "pass", "Not required: no golden question's answer changed with the documents.")
    now = only(candidate, changed)
    if all(value == 1 for value in shares(now, "right").at_worst.values):
        return _all_right(len(changed))
    found = changes(now, only(baseline, changed), "right").at_worst.values
    better, worse = sum(v > 0 for v in found), sum(v < 0 for v in found)
    gained, lost = sign_test(better, worse), sign_test(worse, better)
    outcome: Outcome = (
        "pass" if gained <= policy.freshness_alpha else "fail" if lost <= policy.freshness_alpha else "undecided"
    )
    reason = f"Of {len(changed)} questions whose answer changed, {better} are right now and {worse} no longer."
    if outcome == "undecided":
        reason += f" Undecided: {_wins_missing(better, worse, policy)} more that are right now would decide it."
    return Gate("fresh", outcome, reason, (better - worse) / len(changed), round(min(gained, lost), 6), len(changed))


def _all_right(n: int) -> Gate:
    which = "The one question" if n == 1 else f"All {n} questions"
    verb = "is" if n == 1 else "are"
    return Gate("fresh", "pass", f"{which} whose answer changed {verb} right now.", 1.0, n=n)


def _wins_missing(better: int, worse: int, policy: Policy) -> int:
    missing = 1
    while sign_test(better + missing, worse) > policy.freshness_alpha:
        missing += 1
    return missing
