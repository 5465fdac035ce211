"""Where the next model is trained: here by LoRA, or at a vendor. A choice with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

from tasks.core.hosted_checks import MIN_EXAMPLES
from tasks.core.hosted_cost import Estimate
from tasks.core.hosted_retirement import TRAINING_ENDS, Vendor, retirement_of

Asked = Literal["lora", "openai", "auto", "dpo", "kto", "openai-dpo"]
Chosen = Literal["lora", "openai", "dpo", "kto", "openai-dpo"]
NAMES: Mapping[Chosen, str] = {
    "lora": "LoRA",
    "openai": "Hosted",
    "dpo": "DPO",
    "kto": "KTO",
    "openai-dpo": "Hosted DPO",
}


@dataclass(frozen=True, slots=True)
class Hosted:
    """What training at the vendor would be."""

    base: str
    vendor: Vendor
    estimate: Estimate
    left_usd: float  # of the budget
    answer_seconds: float | None = None  # as measured


@dataclass(frozen=True, slots=True)
class MethodFacts:
    """What the choice is made from. None: not known."""

    rows: int
    hosted: Hosted | None  # None: no vendor is configured
    lora_seconds_per_row: float | None = None  # of the newest training here
    lora_answer_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class MethodLimits:
    """When training here is not good enough."""

    lora_seconds: float = 3600.0  # of one training
    answer_seconds: float | None = None  # of one answer; None: no limit
    least_useful_days: int = 90  # that a hosted model must answer after it was made


@dataclass(frozen=True, slots=True)
class MethodChoice:
    """The method, and why."""

    method: Chosen
    reason: str


def choose_method(asked: Asked, facts: MethodFacts, limits: MethodLimits, today: date) -> MethodChoice:
    """What was asked for; for "auto", LoRA unless it is too slow here and a vendor can and may take over.

    >>> choose_method("auto", MethodFacts(rows=200, hosted=None), MethodLimits(), date(2026, 11, 1)).reason
    'LoRA: no hosted base model is configured.'
    """
    if asked != "auto":
        return MethodChoice(asked, f"{NAMES[asked]}: asked for.")
    if facts.hosted is None:
        return MethodChoice("lora", "LoRA: no hosted base model is configured.")
    if against := _against(facts.hosted, facts.rows, limits, today):
        return MethodChoice("lora", f"LoRA: {against}.")
    if because := _too_slow_here(facts, facts.hosted, limits):
        return MethodChoice("openai", f"Hosted: {because}.")
    return MethodChoice("lora", f"LoRA: {_fast_enough(facts, limits)}, and it costs nothing.")


def _against(hosted: Hosted, rows: int, limits: MethodLimits, today: date) -> str | None:
    """Why the vendor is out of the question."""
    if rows < MIN_EXAMPLES:
        return f"{rows} rows, and a hosted job takes at least {MIN_EXAMPLES}"
    ends = TRAINING_ENDS.get(hosted.vendor)
    if ends is not None and today >= ends:
        return f"the vendor creates no jobs since {ends.isoformat()}"
    stops = retirement_of(hosted.base, hosted.vendor)
    if stops is not None and (left := (stops.stops - today).days) < limits.least_useful_days:
        return (
            f"{hosted.base} stops on {stops.stops.isoformat()}, in {left} days, and a model should serve at least "
            f"{limits.least_useful_days}"
        )
    if hosted.estimate.cost_usd > hosted.left_usd:
        return f"hosted would cost {hosted.estimate.sentence}, and ${hosted.left_usd:,.2f} of the budget is left"
    return None


def _too_slow_here(facts: MethodFacts, hosted: Hosted, limits: MethodLimits) -> str | None:
    if facts.lora_seconds_per_row is not None:
        seconds = facts.rows * facts.lora_seconds_per_row
        if seconds > limits.lora_seconds:
            return (
                f"{facts.rows:,} rows would train about {seconds:,.0f} s here, over the limit of "
                f"{limits.lora_seconds:,.0f} s"
            )
    here, there, limit = facts.lora_answer_seconds, hosted.answer_seconds, limits.answer_seconds
    if limit is not None and here is not None and here > limit and (there is None or there < here):
        return f"an answer takes {here:.1f} s here, over the limit of {limit:.1f} s"
    return None


def _fast_enough(facts: MethodFacts, limits: MethodLimits) -> str:
    if facts.lora_seconds_per_row is None:
        return f"how long {facts.rows:,} rows train here is not known yet"
    seconds = facts.rows * facts.lora_seconds_per_row
    return f"{facts.rows:,} rows train about {seconds:,.0f} s here, within {limits.lora_seconds:,.0f} s"
