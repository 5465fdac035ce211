"""What has to be set before anything is trained at a vendor; all that is not is told at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tasks.core.errors import BadSetting
from tasks.core.hosted_cost import USD_PER_MILLION_TOKENS
from tasks.core.hosted_retirement import base_of


@dataclass(frozen=True, slots=True)
class HostedSetup:
    """What the settings say of a vendor. own_server: another one than OpenAI, which may want no key."""

    base: str | None
    budget_usd: float | None
    usd_per_million_tokens: float | None
    own_server: bool
    has_key: bool


def require_complete(setup: HostedSetup) -> tuple[str, float]:
    """The base and the budget in USD. Raises BadSetting with every missing setting, and what to put there.

    >>> require_complete(HostedSetup("gpt-4.1-mini", 20.0, None, own_server=False, has_key=True))
    ('gpt-4.1-mini', 20.0)
    """
    gaps = list(_gaps(setup))
    if setup.base is None or setup.budget_usd is None or gaps:
        listed = "".join(f"\n  {gap}" for gap in gaps)
        raise BadSetting(
            f"Training at a vendor needs {len(gaps)} more setting{'s' if len(gaps) > 1 else ''}:{listed}\n"
            "Nothing was asked of any vendor. Training here needs none: `ratchet train --method lora`, or dpo on "
            "preferences.",
            missing=len(gaps),
        )
    return setup.base, setup.budget_usd


def _gaps(setup: HostedSetup) -> Iterator[str]:
    listed = ", ".join(USD_PER_MILLION_TOKENS)
    if setup.base is None:
        yield "RATCHET_HOSTED_BASE_MODEL: the model that is tuned, such as gpt-4.1-mini-2025-04-14"
    if setup.budget_usd is None:
        yield "RATCHET_HOSTED_BUDGET_USD: what trainings may cost in 30 days, such as 20"
    if setup.usd_per_million_tokens is None and (setup.own_server or not _is_listed(setup.base)):
        known = "" if setup.own_server else f"; not needed for {listed}, whose list prices are known"
        free = "; 0 where it costs nothing" if setup.own_server else ""
        yield (
            "RATCHET_HOSTED_USD_PER_MILLION_TOKENS: what training a million tokens costs, or the budget would stop "
            f"nothing{free}{known}"
        )
    if not (setup.has_key or setup.own_server):
        yield (
            "RATCHET_OPENAI_API_KEY (or OPENAI_API_KEY): your API key at OpenAI; for another server "
            "RATCHET_HOSTED_BASE_URL, and RATCHET_HOSTED_API_KEY where it wants one"
        )


def _is_listed(base: str | None) -> bool:
    return base is not None and base_of(base) in USD_PER_MILLION_TOKENS
