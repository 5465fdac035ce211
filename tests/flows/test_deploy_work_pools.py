"""The work pools of `ratchet deploy`, by RATCHET_WORK_POOLS and RATCHET_RUN_COMMAND, on a real Prefect server."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.exceptions import ObjectNotFound

from flows.deploying.command import show_deploy
from flows.deploying.work_pools import WorkPools
from infra.deploy.catalogue import WORK_POOLS, PoolType
from infra.deploy.differences import Changes, plan, rows
from tasks.core.errors import BadSetting

pytestmark = [pytest.mark.usefixtures("prefect_server"), pytest.mark.xdist_group("prefect")]

NAMES = [pool.name for pool in WORK_POOLS]


async def _clear() -> None:
    async with get_client() as client:
        for name in NAMES:
            try:
                await client.delete_work_pool(name)
            except ObjectNotFound:
                continue


@pytest.fixture(autouse=True)
def _nothing_left(prefect_server: None) -> Iterator[None]:
    """The pools are gone before and after: another type of them would be met by the tests of others."""
    asyncio.run(_clear())
    yield
    asyncio.run(_clear())


@pytest.fixture
async def client() -> AsyncIterator[PrefectClient]:
    async with get_client() as client:
        yield client


async def pools(client: PrefectClient, kind: PoolType, run_command: str | None = None) -> Changes:
    """The part of the reconciler that is about pools."""
    shelf = WorkPools(client, kind, run_command)
    changes = plan(await shelf.wanted(), await shelf.found())
    for change in changes.changes:
        await shelf.make(change)
    return changes


async def command(client: PrefectClient) -> object:
    template = (await client.read_work_pool("ratchet")).base_job_template
    return template["variables"]["properties"]["command"]["default"]


async def test_runs_start_by_the_command_that_is_set_and_the_rest_of_the_template_is_peoples(
    client: PrefectClient,
) -> None:
    assert len(rows(await pools(client, "process"))) == 2
    assert await command(client) is None
    template = (await client.read_work_pool("ratchet")).base_job_template
    template["variables"]["properties"]["working_dir"]["default"] = "/srv"
    await client.update_work_pool("ratchet", WorkPoolUpdate(base_job_template=template))

    changes = await pools(client, "process", "python -m prefect.engine")
    assert rows(changes) == [("update", "work pool", name) for name in NAMES]
    assert await command(client) == "python -m prefect.engine"
    template = (await client.read_work_pool("ratchet")).base_job_template
    assert template["variables"]["properties"]["working_dir"]["default"] == "/srv"
    assert not rows(await pools(client, "process", "python -m prefect.engine"))
    assert not rows(await pools(client, "process"))
    assert await command(client) == "python -m prefect.engine"


async def test_pools_of_jobs_are_made_once(client: PrefectClient) -> None:
    assert rows(await pools(client, "kubernetes")) == [("create", "work pool", name) for name in NAMES]
    training = await client.read_work_pool("ratchet-training")
    variables = training.base_job_template["variables"]["properties"]
    assert (training.type, training.concurrency_limit) == ("kubernetes", 1)
    assert (variables["gpus"]["default"], variables["image"]["default"]) == ("1", "ratchet-training:0.1.0")
    again = await pools(client, "kubernetes")
    assert (again.changes, again.unchanged) == ((), len(NAMES))


async def test_a_template_that_was_edited_is_mended_and_a_paused_pool_stays_paused(client: PrefectClient) -> None:
    await pools(client, "kubernetes")
    pool = await client.read_work_pool("ratchet")
    edited = {**pool.base_job_template, "job_configuration": {"command": "{{ command }}"}}
    await client.update_work_pool("ratchet", WorkPoolUpdate(is_paused=True, base_job_template=edited))
    assert rows(await pools(client, "kubernetes")) == [("update", "work pool", "ratchet")]
    after = await client.read_work_pool("ratchet")
    assert (after.base_job_template, after.is_paused, after.id) == (pool.base_job_template, True, pool.id)


async def test_a_pool_keeps_its_type_so_the_old_one_has_to_go_first(
    client: PrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pools(client, "process")
    monkeypatch.setenv("RATCHET_WORK_POOLS", "kubernetes")
    with pytest.raises(BadSetting, match=r"ratchet is of type process.*prefect work-pool delete ratchet"):
        await show_deploy(dry_run=False, file=None)
    assert (await client.read_work_pool("ratchet")).type == "process"


async def test_by_default_a_pool_of_another_type_is_peoples_own_affair(client: PrefectClient) -> None:
    await pools(client, "kubernetes")
    assert (await pools(client, "process")).changes == ()
    assert (await client.read_work_pool("ratchet")).type == "kubernetes"
