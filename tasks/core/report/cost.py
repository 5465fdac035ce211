"""What a question cost: tokens, and money where the policy has prices."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.core.policy import Policy
from tasks.core.scoring import ScoreSheet


@dataclass(frozen=True, slots=True)
class Spent:
    """Means over the golden questions."""

    read: float  # tokens of the prompt
    written: float  # tokens of the answer
    cost_usd: float | None  # None: the policy has no prices


def spent_by(sheet: ScoreSheet, policy: Policy) -> Spent:
    """What one question cost on average. Needs one question at least."""
    n = len(sheet.questions)
    read = sum(q.answer.prompt_tokens for q in sheet.questions) / n
    written = sum(q.answer.completion_tokens for q in sheet.questions) / n
    pace = policy.pace
    cost = (read * pace.usd_per_million_prompt_tokens + written * pace.usd_per_million_completion_tokens) / 1e6
    return Spent(read, written, cost or None)
