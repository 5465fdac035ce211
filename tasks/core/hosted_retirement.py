"""When hosted fine-tuning and the models made by it end, as the vendors have said, and what that asks for today."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from tasks.core.errors import TrainingRetired
from tasks.core.hosted_jobs import HERE, Method

Vendor = Literal["openai", "azure", "other"]
ALARM_DAYS = (90, 30, 7)

OPENAI_CLOSED_TO_NEW = date(2026, 5, 7)
OPENAI_CLOSED_TO_INACTIVE = date(2026, 7, 2)
TRAINING_ENDS = {"openai": date(2027, 1, 6), "azure": date(2027, 4, 1)}  # Azure says the month only
APPROXIMATE = frozenset({"azure"})


@dataclass(frozen=True, slots=True)
class Retirement:
    """A model, and all that was tuned from it, stops answering."""

    vendor: Vendor
    model: str
    stops: date


RETIREMENTS: Sequence[Retirement] = (
    *(Retirement("openai", model, date(2027, 1, 14)) for model in ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini")),
    *(Retirement("azure", model, date(2027, 10, 1)) for model in ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini")),
)


@dataclass(frozen=True, slots=True)
class Alarm:
    """A model in use that stops soon. within_days: 90, 30 or 7, whichever was passed last; 0: it has stopped."""

    model: str
    stops: date
    days_left: int
    within_days: int
    sentence: str

    @property
    def key(self) -> str:
        """The same for every day of one level, so that each level can be told once."""
        return f"{self.model}@{self.stops.isoformat()}/{self.within_days}"


def vendor_of(base_url: str | None) -> Vendor:
    """
    >>> vendor_of(None), vendor_of("https://me.openai.azure.com/openai/v1"), vendor_of("http://127.0.0.1:8000/v1")
    ('openai', 'azure', 'other')
    """
    host = re.sub(r"^\w+://", "", base_url or "api.openai.com").split("/")[0].split(":")[0]
    if host == "api.openai.com" or host.endswith(".api.openai.com"):
        return "openai"
    return "azure" if host.endswith(".azure.com") else "other"


def base_of(model: str) -> str:
    """The base model's family of a hosted model or of what was tuned from it.

    >>> base_of("ft:gpt-4o-mini-2024-07-18:acme:pumps:9xYz"), base_of("gpt-4.1-nano")
    ('gpt-4o-mini', 'gpt-4.1-nano')
    """
    named = model.split(":")[1] if model.startswith("ft:") and ":" in model[3:] else model
    return re.sub(r"-\d{4}-\d{2}-\d{2}$", "", named.removeprefix("ft:"))


def retirement_of(model: str, vendor: Vendor) -> Retirement | None:
    """When a hosted model stops; None when nobody has said."""
    return next((one for one in RETIREMENTS if one.vendor == vendor and one.model == base_of(model)), None)


def require_open(base: str, vendor: Vendor, today: date, method: Method = "supervised") -> None:
    """Raises TrainingRetired once no job can be created any more, before anything is uploaded."""
    ends = TRAINING_ENDS.get(vendor)
    if ends is not None and vendor not in APPROXIMATE and today >= ends:
        raise TrainingRetired(
            f"OpenAI has created no fine-tuning jobs since {ends.isoformat()}, so {base} cannot be tuned there. Train "
            f"here: `ratchet train --method {HERE[method]}`.",
            ended=ends.isoformat(),
        )


def outlook(base: str, vendor: Vendor, today: date) -> str | None:
    """What is known of the end of training there, as a sentence; None when nothing is."""
    ends = TRAINING_ENDS.get(vendor)
    if ends is None:
        return None
    about = "about " if vendor in APPROXIMATE else ""
    closed = ""
    if vendor == "openai" and today >= OPENAI_CLOSED_TO_INACTIVE:
        closed = f", and only organisations active since before {OPENAI_CLOSED_TO_INACTIVE.isoformat()} can now"
    elif vendor == "openai" and today >= OPENAI_CLOSED_TO_NEW:
        closed = ", and new organisations cannot now"
    stops = retirement_of(base, vendor)
    until = f"; what is tuned from {base} answers until {about}{stops.stops.isoformat()}" if stops else ""
    return f"Nobody can create fine-tuning jobs there from {about}{ends.isoformat()}{closed}{until}."


def alarms(models: Iterable[str], vendor: Vendor, today: date) -> list[Alarm]:
    """An alarm per model that stops within 90 days, the most pressing first."""
    found = []
    for model in sorted(set(models)):
        known = retirement_of(model, vendor)
        if known is None:
            continue
        left = (known.stops - today).days
        if left > ALARM_DAYS[0]:
            continue
        within = min((days for days in ALARM_DAYS if left <= days), default=0) if left > 0 else 0
        found.append(Alarm(model, known.stops, left, within, _sentence(model, known, left)))
    return sorted(found, key=lambda one: (one.days_left, one.model))


def proposal(model: str, stops: date, labels: int, saved: str | None) -> str:
    """What to do about a dying model. saved: the artifact that keeps its golden answers."""
    kept = (
        f"Its golden answers are kept in {saved}" if saved else "Save its golden answers: `ratchet hosted save-answers`"
    )
    return (
        f"{model} stops on {stops.isoformat()}. {kept}. Train a local successor on the {labels:,} accepted labels and "
        "judge it against today's release while that still answers: `ratchet train --method lora --force`, then "
        "`ratchet evaluate`."
    )


def _sentence(model: str, known: Retirement, left: int) -> str:
    about = "about " if known.vendor in APPROXIMATE else ""
    if left <= 0:
        return f"{model} stopped answering on {about}{known.stops.isoformat()}. Roll back, or train here."
    return f"{model} stops answering in {left} days, on {about}{known.stops.isoformat()}."
