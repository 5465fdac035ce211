"""The janitor on a real Prefect server: a dead run gives its slot back, and the run that waited goes on."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import ConcurrencyOptions, FlowRun, StateType
from prefect.states import Pending, Running

from flows.tend_runs import TendRequest, tend, tend_runs
from infra.deploy.catalogue import RUNS
from tasks.core.stuck_runs import Patience, RunSigns, lost

pytestmark = [pytest.mark.usefixtures("prefect_server"), pytest.mark.xdist_group("prefect")]

PATIENT = TendRequest()


@pytest.fixture
async def client() -> AsyncIterator[PrefectClient]:
    async with get_client() as client:
        yield client


async def deployment(client: PrefectClient, tags: list[str]) -> UUID:
    return await client.create_deployment(
        flow_id=await client.create_flow(tend_runs),
        name=f"janitor-{'-'.join(tags)}",
        tags=tags,
        concurrency_limit=1,
        concurrency_options=ConcurrencyOptions(collision_strategy="ENQUEUE"),
        enforce_parameter_schema=False,
    )


async def state(client: PrefectClient, run: FlowRun) -> StateType | None:
    return (await client.read_flow_run(run.id)).state_type


class Impatient(TendRequest):
    """A test does not wait ten minutes."""

    pending_seconds: float = 0
    silent_seconds: float = 0


async def test_a_run_stuck_pending_is_crashed_and_the_one_that_waited_for_its_slot_goes_on(
    client: PrefectClient,
) -> None:
    where = await deployment(client, [RUNS])
    stuck = await client.create_flow_run_from_deployment(where)
    waits = await client.create_flow_run_from_deployment(where)
    await client.set_flow_run_state(stuck.id, Pending())
    refused = await client.set_flow_run_state(waits.id, Pending())
    assert (refused.status.value, await state(client, waits)) == ("REJECT", StateType.SCHEDULED)

    assert await tend(client, PATIENT) == []
    assert await state(client, stuck) is StateType.PENDING
    assert len(await tend(client, Impatient(plan=True))) == 1
    assert await state(client, stuck) is StateType.PENDING

    [sentence] = await tend(client, Impatient())
    assert sentence.startswith(f"{stuck.name}: Pending for ")
    assert await state(client, stuck) is StateType.CRASHED
    accepted = await client.set_flow_run_state(waits.id, Pending())
    assert accepted.status.value == "ACCEPT"
    assert await tend(client, PATIENT) == []
    await client.delete_deployment(where)
    await client.delete_flow_run(waits.id)


async def test_runs_of_other_people_are_left_alone(client: PrefectClient) -> None:
    where = await deployment(client, ["theirs"])
    run = await client.create_flow_run_from_deployment(where)
    await client.set_flow_run_state(run.id, Pending())
    assert await tend(client, Impatient()) == []
    await client.set_flow_run_state(run.id, Running())
    assert await tend(client, Impatient()) == []
    await client.delete_deployment(where)
    await client.delete_flow_run(run.id)


async def test_the_janitor_does_not_crash_itself(client: PrefectClient) -> None:
    assert await tend_runs.with_options(flow_run_name="tend runs (test)")(TendRequest(plan=True)) == []


def test_silence_counts_only_where_heartbeats_are_sent_or_nobody_works() -> None:
    patience = Patience(pending=600, silent=600)

    def run(last_heard: float | None, heartbeats: bool, workers: int | None) -> str | None:
        return lost(RunSigns("r", "RUNNING", 9000, last_heard, heartbeats, workers), patience)

    assert run(599, True, 0) is None
    assert run(601, True, 1)
    assert run(601, False, 1) is None  # a long training without heartbeats
    assert run(None, False, 0)
    assert run(601, False, None) is None  # served from somebody's shell
