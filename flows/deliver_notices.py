"""Tell Prefect whatever waits in the outbox: what a webhook, a label or a kill left untold, and what a day brings."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from prefect import flow

from blocks.assistant import open_assistant
from flows.hosted_jobs import retirements
from flows.nudging import tell
from flows.requests import AssistantRequest
from flows.running import log
from infra.workbench import Workbench
from tasks.hosted_aftercare import note_alarms
from tasks.outbox import Notice


class DeliverRequest(AssistantRequest):
    """Whose catalog. Every assistant of it is swept."""


@flow(name="deliver-notices", flow_run_name="deliver notices")
async def deliver_notices(request: DeliverRequest) -> list[str]:
    """Start a run for everything that was committed to be told and was not yet; give the keys that were told.

    What nobody can be told now waits for the next sweep. Telling again what was told starts nothing.

    Args:
        request: Whose catalog. Every assistant of it is swept.
    """
    async with open_assistant(request.assistant, request.block) as bench:
        return [notice.key for notice in await sweep(bench)]


async def sweep(bench: Workbench, today: date | None = None) -> Sequence[Notice]:
    """The same, on an open workbench: the notices that were told, of all assistants.

    Hosted models that stop soon are noted first: nobody else looks at the calendar.
    """
    for assistant in bench.releases.assistants():
        for alarm in note_alarms(bench.outbox, assistant, retirements(bench, today, assistant=assistant)):
            log(f"{assistant}: {alarm.sentence}")
    told = [notice for assistant in bench.outbox.assistants() for notice in await tell(bench.outbox, assistant)]
    waiting = sum(len(bench.outbox.pending(assistant)) for assistant in bench.outbox.assistants())
    log(f"{len(told)} told, {waiting} still wait")
    return told
