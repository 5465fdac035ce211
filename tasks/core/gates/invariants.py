"""What holds for every single answer, whatever the mean says: it is the answer that is served, in the form promised."""

from __future__ import annotations

from tasks.core.gate import Gate
from tasks.core.pace import Rehearsal
from tasks.core.policy import Policy
from tasks.core.scoring import ScoreSheet, values_of

NOTHING_MEASURED = (
    "No golden question was asked one at a time, so how the release answers when it serves is not known. "
    "Evaluate it again, or set pace.questions to 0 to do without."
)


def served_as_judged_gate(candidate: ScoreSheet, rehearsal: Rehearsal, policy: Policy) -> Gate:
    """Asked alone, as in serving, it answers what was judged, which was asked in batches."""
    name, least = "served-as-judged", policy.pace.least_agreement
    if not rehearsal.candidate:
        return Gate(name, "undecided", NOTHING_MEASURED)
    judged = {q.label.id: q.answer.text for q in candidate.questions}
    same = sum(judged.get(one.label) == one.text for one in rehearsal.candidate)
    n = len(rehearsal.candidate)
    share = round(same / n, 6)
    if same == n:
        return Gate(
            name, "pass", f"All {n} questions asked one at a time got the answer that was judged.", share, least, n
        )
    reason = (
        f"{same} of {n} questions asked one at a time got the answer that was judged; least is {100 * least:.0f} %."
    )
    if share >= least:
        return Gate(name, "pass", reason, share, least, n)
    reason += " Undecided: what was judged is not what would be served. Find out why they differ."
    return Gate(name, "undecided", reason, share, least, n)


def format_gate(candidate: ScoreSheet) -> Gate:
    """Every answer is valid JSON of the policy's schema: a program reads them, and one is enough to stop it."""
    found = values_of(candidate, "format")
    n = len(found.values)
    if found.undefined or not n:
        unknown = len(found.undefined)
        why = f": {found.undefined[0]}" if unknown else ""
        return Gate("format", "undecided", f"On {unknown} of {n + unknown} answers format is undefined{why}.", n=n)
    broken = [q.label.id for q in candidate.questions if q.scores["format"] != 1.0]
    share = round(1 - len(broken) / n, 6)
    if not broken:
        return Gate("format", "pass", f"All {n} answers are valid JSON of the policy's schema.", share, 1.0, n)
    reason = (
        f"{len(broken)} of {n} answers are no valid JSON of the policy's schema, such as that to {broken[0]}. "
        "Where some may be, name format among the policy's floors."
    )
    return Gate("format", "fail", reason, share, 1.0, n)
