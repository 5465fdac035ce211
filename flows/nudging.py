"""Telling Prefect what the outbox holds: one run of the flow that acts on it, and an event for others."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tasks.outbox import Listener, Notice, deliver

if TYPE_CHECKING:
    from infra.adapters.prefect_runs import PrefectRuns
    from infra.workbench import Workbench
    from tasks.outbox import Outbox


async def nudge(notice: Notice) -> bool:
    """Starts a run of the flow for this topic; whether it is there. Told again, the same run is found by its key.

    A topic without a flow is published as an event alone. False, so that the notice waits, without a Prefect API,
    without a deployment, or while the API cannot be reached.
    """
    runs = _prefect()
    return runs is not None and await runs.nudge(notice)


async def find(assistant: str, topic: str) -> Listener | None:
    """Whether this topic's flow could be started now, and which run of it has been asked for and not begun."""
    runs = _prefect()
    return None if runs is None else await runs.find(assistant, topic)


async def tell(outbox: Outbox, assistant: str) -> Sequence[Notice]:
    """The notices of an assistant that Prefect was told of now."""
    return await deliver(outbox, assistant, nudge, find)


def nudge_now(bench: Workbench) -> None:
    """From a command: what waits is told at once where this environment names a Prefect API.

    Without one, Prefect is not even imported; the scheduled `deliver-notices` tells what is missed here.
    """
    if os.environ.get("PREFECT_API_URL") and bench.outbox.pending(bench.assistant):
        import asyncio

        asyncio.run(tell(bench.outbox, bench.assistant))


def _prefect() -> PrefectRuns | None:
    """By Prefect's own settings, so that its profiles count too."""
    from prefect.settings import get_current_settings

    from infra.adapters.prefect_runs import PrefectRuns

    api = get_current_settings().api
    if not api.url:
        return None
    auth, key = api.auth_string, api.key
    return PrefectRuns(api.url, auth.get_secret_value() if auth else None, key.get_secret_value() if key else None)
