"""Training and answering at a vendor, from the settings: what is missing is said before anything is asked."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from infra.settings import Settings
from tasks.core.errors import Stopped
from tasks.core.hosted_cost import price_of
from tasks.core.hosted_jobs import Pace
from tasks.core.hosted_retirement import vendor_of
from tasks.core.hosted_setup import HostedSetup, require_complete
from tasks.documents import stopping

if TYPE_CHECKING:
    from pydantic import SecretStr
    from sqlalchemy import Engine

    from infra.adapters.openai_chat import OpenAiChat
    from tasks.hosted_training import HostedBench


def hosted_bench(
    settings: Settings,
    engine: Engine,
    *,
    assistant: str,
    golden: Callable[[], Sequence[str]],
    environ: Mapping[str, str] = os.environ,
) -> HostedBench:
    """For tasks.hosted_training. Asks nothing yet. Raises BadSetting for all that is not set."""
    from infra.adapters.catalog.hosted_jobs import CatalogHostedJobs
    from infra.adapters.hosted_tokens import token_count
    from infra.adapters.openai_fine_tuning import OpenAiFineTuning
    from tasks.hosted_training import HostedBench, HostedPlan

    key = hosted_key(settings, environ)
    at_openai = settings.hosted_base_url is None
    base, budget = require_complete(
        HostedSetup(
            settings.hosted_base_model,
            settings.hosted_budget_usd,
            settings.hosted_usd_per_million_tokens,
            own_server=not at_openai,
            has_key=key is not None,
        )
    )
    vendor = vendor_of(settings.hosted_base_url)
    plan = HostedPlan(
        base=base,
        vendor=vendor,
        budget_usd=budget,
        price=price_of(base, settings.hosted_usd_per_million_tokens, at_openai=at_openai),
        epochs=settings.hosted_epochs,
        tokens=token_count(settings.hosted_tokenizer),
        pace=Pace(
            settle_seconds=settings.hosted_settle_seconds,
            longest_poll_seconds=settings.hosted_poll_seconds,
            longest_wait_seconds=settings.hosted_wait_hours * 3600,
        ),
    )
    return HostedBench(
        assistant=assistant,
        jobs=CatalogHostedJobs(engine),
        vendor=OpenAiFineTuning(api_key=key, base_url=settings.hosted_base_url),
        plan=plan,
        golden=golden,
        now=time.time,
        wait=rest,
        new_owner=lambda: uuid.uuid4().hex,
    )


def hosted_chat(settings: Settings, environ: Mapping[str, str] = os.environ) -> OpenAiChat:
    """Models of the vendor, to answer with. Asks nothing yet. Raises BadSetting without a key for OpenAI."""
    from infra.adapters.hosted_tokens import counter
    from infra.adapters.openai_chat import OpenAiChat

    return OpenAiChat(
        settings.hosted_base_model or "a hosted model",
        api_key=hosted_key(settings, environ),
        base_url=settings.hosted_base_url,
        count=counter(settings.hosted_tokenizer) if settings.hosted_tokenizer else None,
    )


def hosted_key(settings: Settings, environ: Mapping[str, str]) -> SecretStr | None:
    """The vendor's key. One that was given for another server, or for OpenAI, is shown to nobody else."""
    from pydantic import SecretStr

    if settings.hosted_api_key is not None or settings.hosted_base_url is not None:
        return settings.hosted_api_key
    if settings.openai_api_key is not None and settings.openai_base_url is None:
        return settings.openai_api_key
    found = environ.get("OPENAI_API_KEY")
    return SecretStr(found) if found else None


def rest(seconds: float) -> None:
    """Waits. Raises Stopped at once when the run is told to end: the vendor's job goes on."""
    stop = stopping.get()
    if stop is None:
        time.sleep(seconds)
    elif stop.wait(seconds):
        raise Stopped(
            "The run was stopped. The vendor's job goes on; run again to follow it, or `ratchet hosted cancel`."
        )
