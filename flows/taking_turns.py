"""One run of an assistant builds at a time: whoever comes meanwhile waits, where nobody sits in front of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

from flows.approval import deployed_run
from flows.running import log
from tasks.core.document_catalog import Lease
from tasks.core.errors import AssistantBusy
from tasks.documents import DocumentsBench, holding_lease

ASK_SECONDS = 5.0


@asynccontextmanager
async def turn(bench: DocumentsBench, wait_seconds: float) -> AsyncIterator[Lease]:
    """The right to build and publish, given back at the end.

    A deployment's run waits for it for so long: what it was asked for may be newer than what the other run has scanned.
    Raises AssistantBusy when the time is up; outside a deployment at once, because the person there can decide.
    """
    until = time.monotonic() + (wait_seconds if deployed_run() is not None else 0.0)
    with ExitStack() as held:
        yield await _taken(held, bench, until)


async def _taken(held: ExitStack, bench: DocumentsBench, until: float) -> Lease:
    told = False
    while True:
        try:
            return held.enter_context(holding_lease(bench))
        except AssistantBusy as busy:
            if time.monotonic() >= until:
                raise
            if not told:
                log(f"This run waits for its turn. {busy.message}")
            told = True
        await asyncio.sleep(ASK_SECONDS)
