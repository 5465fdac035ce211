"""The janitor on a real Prefect server: a dead run gives its slot back and is begun again, but not for ever."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import ConcurrencyOptions, FlowRun, StateType
from prefect.states import Crashed, Pending, Running, Scheduled

from flows.tend_runs import TendRequest, tend, tend_runs
from infra.deploy.catalogue import ONCE, RUNS
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


async def tidy(client: PrefectClient, where: UUID, *runs: FlowRun) -> None:
    await client.delete_deployment(where)
    for run in runs:
        await client.delete_flow_run(run.id)


async def state(client: PrefectClient, run: FlowRun) -> StateType | None:
    return (await client.read_flow_run(run.id)).state_type


async def said_of(client: PrefectClient, run: FlowRun, request: TendRequest) -> list[str]:
    """Of this run alone: other tests leave theirs on the same server."""
    return [sentence for sentence in await tend(client, request) if sentence.startswith(f"{run.name}: ")]


class Impatient(TendRequest):
    """A test does not wait ten minutes."""

    pending_seconds: float = 0
    silent_seconds: float = 0


async def test_a_run_stuck_pending_waits_its_turn_and_the_one_that_waited_for_its_slot_goes_on(
    client: PrefectClient,
) -> None:
    where = await deployment(client, [RUNS])
    stuck = await client.create_flow_run_from_deployment(where)
    waits = await client.create_flow_run_from_deployment(where)
    await client.set_flow_run_state(stuck.id, Pending())
    refused = await client.set_flow_run_state(waits.id, Pending())
    assert (refused.status.value, await state(client, waits)) == ("REJECT", StateType.SCHEDULED)

    assert await said_of(client, stuck, PATIENT) == []
    assert await state(client, stuck) is StateType.PENDING
    assert len(await said_of(client, stuck, Impatient(plan=True))) == 1
    assert await state(client, stuck) is StateType.PENDING

    [sentence] = await said_of(client, stuck, Impatient())
    assert sentence.startswith(f"{stuck.name}: Pending for ")
    assert await state(client, stuck) is StateType.SCHEDULED
    accepted = await client.set_flow_run_state(waits.id, Pending())
    assert accepted.status.value == "ACCEPT"
    refused = await client.set_flow_run_state(stuck.id, Pending())
    assert (refused.status.value, await state(client, stuck)) == ("REJECT", StateType.SCHEDULED)
    assert await said_of(client, stuck, PATIENT) == []
    await tidy(client, where, stuck, waits)


async def test_a_run_that_crashed_is_begun_again_twice_and_no_more(client: PrefectClient) -> None:
    where = await deployment(client, [RUNS])
    run = await client.create_flow_run_from_deployment(where)
    for starts in (1, 2, 3):
        await client.set_flow_run_state(run.id, Pending())
        await client.set_flow_run_state(run.id, Running())
        await client.set_flow_run_state(run.id, Crashed(message="Its worker was stopped."))
        said = await said_of(client, run, PATIENT)
        assert said == ([f"{run.name}: Its worker was stopped. It is begun again."] if starts < 3 else [])
        assert await state(client, run) is (StateType.SCHEDULED if starts < 3 else StateType.CRASHED)
    await tidy(client, where, run)


async def test_a_rollback_that_crashed_is_left_to_a_person(client: PrefectClient) -> None:
    where = await deployment(client, [RUNS, ONCE])
    run = await client.create_flow_run_from_deployment(where)
    await client.set_flow_run_state(run.id, Pending())
    await client.set_flow_run_state(run.id, Crashed(message="Its worker was stopped."))
    assert await said_of(client, run, PATIENT) == []
    assert await state(client, run) is StateType.CRASHED
    await client.set_flow_run_state(run.id, Scheduled(), force=True)
    await client.set_flow_run_state(run.id, Pending())
    [sentence] = await said_of(client, run, Impatient())
    assert sentence.endswith("See whether it was done before you run it again.")
    assert await state(client, run) is StateType.CRASHED
    await tidy(client, where, run)


async def test_a_run_that_prefect_will_not_move_does_not_keep_the_others(client: PrefectClient) -> None:
    gone, where = await deployment(client, [RUNS, "gone"]), await deployment(client, [RUNS])
    stuck, other = [await client.create_flow_run_from_deployment(one) for one in (gone, where)]
    for run in (stuck, other):
        await client.set_flow_run_state(run.id, Pending())
    await client.delete_deployment(gone)
    said = await tend(client, Impatient())
    assert any(one.startswith(f"{stuck.name}: Pending") and "Prefect answered 500" in one for one in said)
    assert any(one.startswith(f"{other.name}: Pending") and one.endswith("It is begun again.") for one in said)
    assert await state(client, other) is StateType.SCHEDULED
    await client.delete_flow_run(stuck.id)
    await tidy(client, where)  # and its run with it, which waits to be begun again


async def test_what_crashed_long_ago_stays(client: PrefectClient) -> None:
    where = await deployment(client, [RUNS])
    run = await client.create_flow_run_from_deployment(where)
    await client.set_flow_run_state(run.id, Crashed())
    assert await said_of(client, run, TendRequest(crashed_seconds=0)) == []
    await tidy(client, where, run)


async def test_runs_of_other_people_are_left_alone(client: PrefectClient) -> None:
    where = await deployment(client, ["theirs"])
    run = await client.create_flow_run_from_deployment(where)
    await client.set_flow_run_state(run.id, Pending())
    assert await said_of(client, run, Impatient()) == []
    await client.set_flow_run_state(run.id, Running())
    assert await said_of(client, run, Impatient()) == []
    await tidy(client, where, run)


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
