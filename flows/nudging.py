"""Telling Prefect what the outbox holds: one run of the flow that acts on it, and an event for others."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from tasks.outbox import THRESHOLD_REACHED, Notice

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.responses import DeploymentResponse

    from infra.workbench import Workbench

FLOW_OF_TOPIC = {THRESHOLD_REACHED: "retrain-model"}


async def nudge(notice: Notice) -> bool:
    """Starts a run of the flow for this topic; whether it is there. Told again, the same run is found by its key.

    A topic without a flow is published as an event alone. False, so that the notice waits, without a Prefect API,
    without a deployment, or while the API cannot be reached.
    """
    from httpx import HTTPError
    from prefect import get_client
    from prefect.settings import get_current_settings

    if not get_current_settings().api.url:
        return False
    flow = FLOW_OF_TOPIC.get(notice.topic)
    try:
        async with get_client() as client:
            if flow is not None and not await _started(client, flow, notice):
                return False
    except HTTPError:
        return False
    _publish(notice)
    return True


def nudge_now(bench: Workbench) -> None:
    """From a command: what waits is told at once where this environment names a Prefect API.

    Without one, Prefect is not even imported; a scheduled `collect-labels` tells what is missed here.
    """
    if os.environ.get("PREFECT_API_URL") and bench.outbox.pending(bench.assistant):
        import asyncio

        from tasks.outbox import deliver

        asyncio.run(deliver(bench.outbox, bench.assistant, nudge))


async def _started(client: PrefectClient, flow: str, notice: Notice) -> bool:
    deployment = await _deployment(client, flow, notice.assistant)
    if deployment is None:
        return False
    parameters = _parameters(deployment, notice.assistant)
    await client.create_flow_run_from_deployment(deployment.id, parameters=parameters, idempotency_key=notice.key)
    return True


async def _deployment(client: PrefectClient, flow: str, assistant: str) -> DeploymentResponse | None:
    """The one named after the assistant, else the default one."""
    from prefect.exceptions import ObjectNotFound

    for name in dict.fromkeys((assistant, "default")):
        try:
            return await client.read_deployment_by_name(f"{flow}/{name}")
        except ObjectNotFound:
            continue
    return None


def _parameters(deployment: DeploymentResponse, assistant: str) -> dict[str, Any]:
    request = (deployment.parameters or {}).get("request", {})
    return {"request": {**request, "assistant": assistant}}


def _publish(notice: Notice) -> None:
    """An event for other people's automations; nothing here waits for it. Ids and numbers only."""
    from prefect.events import emit_event

    emit_event(
        event=f"ratchet.{notice.topic}",
        resource={"prefect.resource.id": f"ratchet.assistant.{notice.assistant}"},
        payload=dict(notice.payload),
        id=uuid5(NAMESPACE_URL, notice.key),
    )
