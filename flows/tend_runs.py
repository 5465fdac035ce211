"""Begin runs again whose process is gone, so that no work is lost and what they hold is free."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal, cast
from uuid import UUID

from prefect import flow, get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, State, StateType, WorkerStatus
from prefect.context import FlowRunContext
from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter, EventResourceFilter
from prefect.exceptions import PrefectHTTPStatusError
from pydantic import BaseModel, ConfigDict, Field

from flows.running import log
from infra.deploy.catalogue import ONCE, RUNS
from tasks.core.stuck_runs import Patience, RunSigns, lost, next_state

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
    crashed_seconds: float = Field(
        default=3600,
        ge=0,
        title="Crashed within",
        description="Seconds in which a run that crashed by itself is begun again; 0: it is not",
    )
    plan: bool = Field(default=False, title="Plan only", description="Say which runs are lost, and change nothing")


@flow(name="tend-runs", flow_run_name="tend runs")
async def tend_runs(request: TendRequest) -> list[str]:
    """Find runs of Ratchet that lost their process and begin them again, three times at most; a sentence for each.

    They go on where they were. A rollback is crashed instead: begun twice it would go back twice.

    Args:
        request: How long a run may be silent.
    """
    async with get_client() as client:
        return await tend(client, request)


async def tend(client: PrefectClient, request: TendRequest) -> list[str]:
    """The same, with a client."""
    patience = Patience(request.pending_seconds, request.silent_seconds)
    sentences = []
    for run in await _runs(client, FlowRunFilter(state=_state_is(*_STATES))):
        why = lost(await _signs(client, run), patience)
        if why is not None:
            sentences += await _put_right(client, run, why, plan=request.plan)
    since = datetime.now(UTC) - timedelta(seconds=request.crashed_seconds)
    late = FlowRunFilter(
        state=_state_is(StateType.CRASHED), end_time=FlowRunFilterEndTime.model_validate({"after_": since})
    )
    for run in await _runs(client, late):
        assert run.state is not None
        sentences += await _put_right(client, run, run.state.message or "It crashed.", plan=request.plan)
    for sentence in sentences:
        log(sentence)
    return sentences


async def _put_right(client: PrefectClient, run: FlowRun, why: str, *, plan: bool) -> list[str]:
    """The sentence about a run whose state changes; none about one that crashed and stays so."""
    assert run.state is not None
    history = await client.read_flow_run_states(run.id)
    starts = sum(state.type is StateType.PENDING for state in history)
    wanted = next_state(run.state.type.value, starts, why, once=ONCE in run.tags)
    if wanted.type == run.state.type.value:
        return []
    if not plan:
        if (await client.read_flow_run(run.id)).state_id != run.state_id:
            return []  # its process was there after all
        state: State = State(type=StateType(wanted.type), name=wanted.name, message=wanted.message)
        # Crashed by force only where Prefect wants Cancelled: a run that completes in this moment stays so.
        force = wanted.type != "CRASHED" or run.state_type is StateType.CANCELLING
        try:
            await client.set_flow_run_state(run.id, state, force=force)
        except PrefectHTTPStatusError as error:
            # The slot of a deployment that was deleted cannot be given back before its lease runs out. Others go on.
            status = error.response.status_code
            return [f"{run.name}: {why} Prefect answered {status}; the next run of tend-runs tries again."]
    return [f"{run.name}: {wanted.message}"]


def _state_is(*types: StateType) -> FlowRunFilterState:
    return FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types)))


async def _runs(client: PrefectClient, which: FlowRunFilter) -> list[FlowRun]:
    ours = which.model_copy(update={"tags": FlowRunFilterTags(all_=[RUNS])})
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
