"""What a hosted training costs, before it is submitted, and whether that may be spent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from tasks.core.errors import BadSetting, BudgetExceeded
from tasks.core.hosted_files import HostedFile, TokenCount, tokens_of
from tasks.core.hosted_jobs import HERE, HostedJob, Method
from tasks.core.hosted_retirement import base_of

PRICES_RECORDED = date(2026, 11, 26)
"""When the list below was written down. Nothing looks prices up: they may have changed since."""
USD_PER_MILLION_TOKENS = {
    "gpt-4o": 25.0,
    "gpt-4o-mini": 3.0,
    "gpt-4.1": 25.0,
    "gpt-4.1-mini": 5.0,
}
BUDGET_SECONDS = 30 * 24 * 3600.0
"""A budget is for what was begun in the last 30 days."""


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million trained tokens, and who says so. recorded: when it was written down here; None: it was set."""

    usd_per_million_tokens: float
    recorded: date | None = None

    @property
    def sentence(self) -> str:
        """
        >>> Price(3.0).sentence
        '$3.00 per million, as RATCHET_HOSTED_USD_PER_MILLION_TOKENS says'
        """
        each = f"${self.usd_per_million_tokens:,.2f} per million"
        if self.recorded is None:
            return f"{each}, as RATCHET_HOSTED_USD_PER_MILLION_TOKENS says"
        return (
            f"{each}, a list price written down on {self.recorded.isoformat()} and not looked up since: where it is "
            "another, set RATCHET_HOSTED_USD_PER_MILLION_TOKENS"
        )


@dataclass(frozen=True, slots=True)
class Estimate:
    """Tokens and USD of one job. Not exact: an upper bound."""

    tokens: int  # of all epochs
    price: Price
    exact: bool

    @property
    def cost_usd(self) -> float:
        """Tokens × price."""
        return usd(self.tokens, self.price)

    @property
    def sentence(self) -> str:
        """
        >>> Estimate(120_000, Price(3.0), exact=False).sentence.partition(" at ")[0]
        'at most 120,000 tokens, counted as one per byte, and so $0.36'
        """
        counted = (
            f"{self.tokens:,} tokens" if self.exact else f"at most {self.tokens:,} tokens, counted as one per byte,"
        )
        return f"{counted} and so ${self.cost_usd:,.2f} at {self.price.sentence}"


def estimate(file: HostedFile, method: Method, epochs: int, price: Price, tokens: TokenCount) -> Estimate:
    """Tokens × epochs × price. The validation file is read, not trained on, and not billed."""
    return Estimate(epochs * sum(tokens_of(line, method, tokens) for line in file.lines), price, tokens.exact)


def usd(tokens: int, price: Price) -> float:
    """
    >>> usd(2_000_000, Price(3.0))
    6.0
    """
    return tokens * price.usd_per_million_tokens / 1_000_000


def price_of(base: str, said: float | None, *, at_openai: bool) -> Price:
    """What is set, else the list price. Raises BadSetting where nobody said: a budget would stop nothing."""
    if said is not None:
        return Price(said)
    if at_openai:
        listed = USD_PER_MILLION_TOKENS.get(base_of(base))
        if listed is not None:
            return Price(listed, PRICES_RECORDED)
    raise BadSetting(
        f"What training {base} costs is not known, so the budget would stop nothing. Set "
        "RATCHET_HOSTED_USD_PER_MILLION_TOKENS (0 on a server of your own)."
    )


def committed_usd(job: HostedJob) -> float:
    """What a job has cost or may yet cost: as estimated, unless it ended before anything was created."""
    nothing_made = job.job is None and job.creates == 0 and job.state in ("cancelled", "failed", "retired")
    return job.spent_usd + (0.0 if nothing_made else job.cost_usd)


def require_budget(
    asked: Estimate, others: Iterable[HostedJob], budget_usd: float, now: float, method: Method = "supervised"
) -> None:
    """Raises BudgetExceeded when this job and those begun in the last 30 days might cost more than the budget."""
    spent = sum(committed_usd(job) for job in others if job.begun_at > now - BUDGET_SECONDS)
    if asked.cost_usd + spent > budget_usd:
        hint = "" if asked.exact else " RATCHET_HOSTED_TOKENIZER names a tokenizer.json that counts exactly."
        raise BudgetExceeded(
            f"This training would cost {asked.sentence}; ${spent:,.2f} of the budget of ${budget_usd:,.2f} for 30 days "
            f"is spent or promised. Nothing was submitted. Raise RATCHET_HOSTED_BUDGET_USD, train on fewer labels or "
            f"epochs, or train here: `ratchet train --method {HERE[method]}`.{hint}",
            cost_usd=asked.cost_usd,
            spent_usd=spent,
            budget_usd=budget_usd,
            tokens=asked.tokens,
        )
