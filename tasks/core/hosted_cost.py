"""What a hosted training costs, before it is submitted, and whether that may be spent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tasks.core.errors import BadSetting, BudgetExceeded
from tasks.core.hosted_files import HostedFile, TokenCount, tokens_of
from tasks.core.hosted_jobs import HostedJob, Method
from tasks.core.hosted_retirement import base_of

USD_PER_MILLION_TOKENS = {  # list prices of training, 2026; `RATCHET_HOSTED_USD_PER_MILLION_TOKENS` overrides
    "gpt-4o": 25.0,
    "gpt-4o-mini": 3.0,
    "gpt-4.1": 25.0,
    "gpt-4.1-mini": 5.0,
}
BUDGET_SECONDS = 30 * 24 * 3600.0
"""A budget is for what was begun in the last 30 days."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Tokens and USD of one job. Not exact: an upper bound."""

    tokens: int  # of all epochs
    cost_usd: float
    exact: bool

    @property
    def sentence(self) -> str:
        """
        >>> Estimate(120_000, 0.36, exact=False).sentence
        'at most 120,000 tokens, $0.36 (counted as one token per byte)'
        """
        if self.exact:
            return f"{self.tokens:,} tokens, ${self.cost_usd:,.2f}"
        return f"at most {self.tokens:,} tokens, ${self.cost_usd:,.2f} (counted as one token per byte)"


def estimate(file: HostedFile, method: Method, epochs: int, usd_per_million: float, tokens: TokenCount) -> Estimate:
    """Tokens × epochs × price. The validation file is read, not trained on, and not billed."""
    total = epochs * sum(tokens_of(line, method, tokens) for line in file.lines)
    return Estimate(total, usd(total, usd_per_million), tokens.exact)


def usd(tokens: int, usd_per_million: float) -> float:
    """
    >>> usd(2_000_000, 3.0)
    6.0
    """
    return tokens * usd_per_million / 1_000_000


def price_of(base: str, said: float | None, *, at_openai: bool) -> float:
    """USD per million trained tokens. Raises BadSetting where nobody said: a budget would stop nothing."""
    if said is not None:
        return said
    if at_openai:
        listed = USD_PER_MILLION_TOKENS.get(base_of(base))
        if listed is not None:
            return listed
    raise BadSetting(
        f"What training {base} costs is not known, so the budget would stop nothing. Set "
        "RATCHET_HOSTED_USD_PER_MILLION_TOKENS (0 on a server of your own)."
    )


def committed_usd(job: HostedJob) -> float:
    """What a job has cost or may yet cost: as estimated, unless it ended before anything was created."""
    nothing_made = job.job is None and job.creates == 0 and job.state in ("cancelled", "failed", "retired")
    return job.spent_usd + (0.0 if nothing_made else job.cost_usd)


def require_budget(asked: Estimate, others: Iterable[HostedJob], budget_usd: float, now: float) -> None:
    """Raises BudgetExceeded when this job and those begun in the last 30 days might cost more than the budget."""
    spent = sum(committed_usd(job) for job in others if job.begun_at > now - BUDGET_SECONDS)
    if asked.cost_usd + spent > budget_usd:
        hint = "" if asked.exact else " RATCHET_HOSTED_TOKENIZER names a tokenizer.json that counts exactly."
        raise BudgetExceeded(
            f"This training would cost {asked.sentence}; ${spent:,.2f} of the budget of ${budget_usd:,.2f} for 30 days "
            f"is spent or promised. Nothing was submitted. Raise RATCHET_HOSTED_BUDGET_USD, train on fewer labels or "
            f"epochs, or train here: `ratchet train --method lora`.{hint}",
            cost_usd=asked.cost_usd,
            spent_usd=spent,
            budget_usd=budget_usd,
            tokens=asked.tokens,
        )
