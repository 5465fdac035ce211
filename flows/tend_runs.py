"""Crash the runs whose process is gone, so that what they hold is free and waiting runs go on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal, cast
from uuid import UUID

from prefect import flow, get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType, WorkerStatus
from prefect.context import FlowRunContext
from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter, EventResourceFilter
from prefect.states import Crashed
from pydantic import BaseModel, ConfigDict, Field

from flows.running import log
from infra.deploy.catalogue import RUNS
from tasks.core.stuck_runs import Patience, RunSigns, lost

_HEARTBEAT = "prefect.flow-run.heartbeat"
_STATES = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
_AT_ONCE = 200  # runs looked at; the rest is seen next time


class TendRequest(BaseModel):
    """How long a run may be silent."""

    model_config = ConfigDict(extra="forbid", title="How long a run may be silent")

    pending_seconds: float = Field(
        default=600,
        ge=60,
        title="Pending for",
        description="Seconds between a worker taking a run and its process saying that it has begun",
    )
    silent_seconds: float = Field(
        default=600, ge=90, title="Silent for", description="Seconds without a heartbeat; three of them are 540"
    )
    plan: bool = Field(default=False, title="Plan only", description="Say which runs are lost, and change nothing")


@flow(name="tend-runs", flow_run_name="tend runs")
async def tend_runs(request: TendRequest) -> list[str]:
    """Find runs of Ratchet that are Pending or Running without a process and crash them; give a sentence for each.

    What they were doing is safe to begin again: the next run of the same flow takes over its lease when it runs out.

    Args:
        request: How long a run may be silent.
    """
    async with get_client() as client:
        return await tend(client, request)


async def tend(client: PrefectClient, request: TendRequest) -> list[str]:
    """The same, with a client."""
    patience = Patience(request.pending_seconds, request.silent_seconds)
    sentences = []
    for run in await _unfinished(client):
        why = lost(await _signs(client, run), patience)
        if why is None:
            continue
        if not request.plan:
            # By force only where Prefect wants Cancelled: a run that has completed since it was read stays so.
            await client.set_flow_run_state(run.id, Crashed(message=why), force=run.state_type is StateType.CANCELLING)
        sentences.append(f"{run.name}: {why}")
        log(sentences[-1])
    return sentences


async def _unfinished(client: PrefectClient) -> list[FlowRun]:
    ours = FlowRunFilter(
        tags=FlowRunFilterTags(all_=[RUNS]), state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_STATES))
    )
    runs = await client.read_flow_runs(flow_run_filter=ours, limit=_AT_ONCE)
    context = FlowRunContext.get()
    this = context.flow_run.id if context is not None and context.flow_run is not None else None
    return [run for run in runs if run.id != this and run.state is not None]


async def _signs(client: PrefectClient, run: FlowRun) -> RunSigns:
    assert run.state is not None
    now = datetime.now(UTC)
    since = run.state.timestamp
    last = await _last_event(client, run.id, since)
    return RunSigns(
        name=run.name,
        state=cast(Literal["PENDING", "RUNNING", "CANCELLING"], run.state.type.value),
        in_state=(now - since).total_seconds(),
        last_heard=None if last is None else (now - last).total_seconds(),
        heartbeats=await _last_event(client, run.id, since, _HEARTBEAT) is not None,
        workers=await _workers(client, run.work_pool_name),
    )


async def _last_event(client: PrefectClient, run: UUID, since: datetime, name: str | None = None) -> datetime | None:
    wanted = EventFilter(
        occurred=EventOccurredFilter.model_validate({"since": since}),
        resource=EventResourceFilter(id=[f"prefect.flow-run.{run}"]),
        event=EventNameFilter(name=[name]) if name else None,
    )
    page = await client.read_events(wanted, limit=1)  # newest first
    return page.events[0].occurred if page.events else None


async def _workers(client: PrefectClient, pool: str | None) -> int | None:
    if pool is None:
        return None
    workers = await client.read_workers_for_work_pool(pool)
    return sum(one.status is WorkerStatus.ONLINE for one in workers)
