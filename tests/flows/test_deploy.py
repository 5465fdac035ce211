"""`ratchet deploy` on a real Prefect server: twice is once, and what people did in between is theirs."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from deployed_things import clear_deployed
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate, DeploymentUpdate, VariableUpdate, WorkPoolUpdate
from prefect.client.schemas.schedules import CronSchedule
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

from flows.deploying.reconcile import reconcile
from infra.deploy.catalogue import NOTICES, NOTIFY
from infra.deploy.differences import rows
from tasks.core.errors import BadSetting

pytestmark = [pytest.mark.usefixtures("prefect_server"), pytest.mark.xdist_group("prefect")]

FILE = Path(__file__).parents[2] / "prefect.yaml"
REFRESH, SWITCH = "refresh-assistant/default", "ratchet_refresh_assistant_hourly_active"


@pytest.fixture(scope="module")
def deployed(prefect_server: None) -> Iterator[None]:
    """A server in line with the file; afterwards none of it is left for the tests of others to meet."""
    asyncio.run(_deploy())
    yield
    asyncio.run(clear_deployed())


async def _deploy() -> None:
    async with get_client() as client:
        await reconcile(client, file=FILE)


@pytest.fixture
async def client(deployed: None) -> AsyncIterator[PrefectClient]:
    """What a test changes it puts back, or the next reconcile does."""
    async with get_client() as client:
        yield client


async def ids(client: PrefectClient) -> set[str]:
    deployments = await client.read_deployments()
    things = [*deployments, *await client.read_automations(), *await client.read_variables()]
    return {str(one.id) for one in [*things, *(s for d in deployments for s in d.schedules)]}


async def test_the_second_time_nothing_changes(client: PrefectClient) -> None:
    before = await ids(client)
    again = await reconcile(client, file=FILE)
    assert (again.changes, await ids(client)) == ((), before)
    assert again.unchanged > 25


async def test_a_dry_run_tells_and_changes_nothing(client: PrefectClient) -> None:
    deployment = await client.read_deployment_by_name(REFRESH)
    await client.update_deployment(
        deployment.id, DeploymentUpdate(description="Edited", work_pool_name="ratchet-training")
    )
    told = await reconcile(client, dry_run=True, file=FILE)
    assert rows(told) == [("update", "deployment", REFRESH)]
    assert 'work_pool_name: "ratchet-training" → "ratchet"' in told.text()
    assert (await client.read_deployment(deployment.id)).description == "Edited"

    assert (await reconcile(client, file=FILE)).changes == told.changes
    mended = await client.read_deployment_by_name(REFRESH)
    assert (mended.id, mended.work_pool_name) == (deployment.id, "ratchet")
    assert mended.schedules == deployment.schedules


async def test_a_schedule_paused_on_its_page_stays_paused_until_its_page_or_its_variable_says_otherwise(
    client: PrefectClient,
) -> None:
    deployment = await client.read_deployment_by_name(REFRESH)
    await client.update_deployment_schedule(deployment.id, deployment.schedules[0].id, active=False)
    assert rows(await reconcile(client, file=FILE)) == [("update", "variable", SWITCH)]
    assert [s.active for s in (await client.read_deployment(deployment.id)).schedules] == [False]
    assert (await client.read_variable_by_name(SWITCH)).value is False
    assert (await reconcile(client, file=FILE)).changes == ()

    variable = await client.read_variable_by_name(SWITCH)
    assert variable is not None
    await client.update_variable(VariableUpdate(name=SWITCH, value=True, tags=variable.tags))
    await reconcile(client, file=FILE)
    [schedule] = (await client.read_deployment_by_name(REFRESH)).schedules
    assert (schedule.active, schedule.id) == (True, deployment.schedules[0].id)


async def test_a_variable_that_says_neither_yes_nor_no_is_named(client: PrefectClient) -> None:
    variable = await client.read_variable_by_name(SWITCH)
    assert variable is not None
    await client.update_variable(VariableUpdate(name=SWITCH, value="perhaps", tags=variable.tags))
    with pytest.raises(BadSetting, match=f"{SWITCH} .*true or false"):
        await reconcile(client, file=FILE)
    await client.update_variable(VariableUpdate(name=SWITCH, value=True, tags=variable.tags))


async def test_what_people_changed_beside_it_stays(client: PrefectClient) -> None:
    deployment = await client.read_deployment_by_name(REFRESH)
    await client.pause_deployment(deployment.id)
    changed = DeploymentUpdate(tags=[*deployment.tags, "ours-too"], job_variables={"env": {"A": "1"}})
    await client.update_deployment(deployment.id, changed)
    own = DeploymentScheduleCreate(schedule=CronSchedule(cron="0 6 * * 1", timezone="Europe/Berlin"), slug="mondays")
    await client.create_deployment_schedules(deployment.id, [own])
    await client.update_work_pool("ratchet", WorkPoolUpdate(is_paused=True, concurrency_limit=3))

    assert (await reconcile(client, file=FILE)).changes == ()
    after = await client.read_deployment(deployment.id)
    assert (after.paused, after.job_variables, "ours-too" in after.tags) == (True, {"env": {"A": "1"}}, True)
    assert {s.slug for s in after.schedules} == {"hourly", "mondays"}
    pool = await client.read_work_pool("ratchet")
    assert (pool.is_paused, pool.concurrency_limit) == (True, 3)
    await client.update_work_pool("ratchet", WorkPoolUpdate(is_paused=False))
    await client.resume_deployment(deployment.id)
    await client.delete_deployment_schedule(deployment.id, next(s.id for s in after.schedules if s.slug == "mondays"))


async def test_a_disabled_automation_stays_disabled_and_a_renamed_one_keeps_its_id(client: PrefectClient) -> None:
    zombie = next(one for one in await client.read_automations() if "ratchet-key:zombie-runs" in one.tags)
    await client.pause_automation(zombie.id)
    assert (await reconcile(client, file=FILE)).changes == ()
    renamed = AutomationCore.model_validate(
        zombie.model_dump(exclude={"owner_resource"}) | {"name": "Dead runs", "enabled": False}
    )
    await client.update_automation(zombie.id, renamed)
    assert rows(await reconcile(client, file=FILE)) == [("update", "automation", "zombie-runs")]
    after = await client.read_automation(zombie.id)
    assert after is not None
    assert (after.name, after.enabled) == (zombie.name, False)
    await client.resume_automation(zombie.id)


async def test_an_automation_of_other_people_is_left_alone_and_one_of_ours_that_is_gone_comes_back(
    client: PrefectClient,
) -> None:
    theirs = await client.create_automation(
        AutomationCore(
            name="Ratchet: documents changed",
            tags=["ratchet"],
            trigger=EventTrigger(expect={"x"}, posture=Posture.Reactive, threshold=1),
            actions=[{"type": "do-nothing"}],
        )
    )
    ours = next(one for one in await client.read_automations() if "ratchet-key:docs-changed" in one.tags)
    await client.delete_automation(ours.id)
    assert rows(await reconcile(client, file=FILE)) == [("create", "automation", "docs-changed")]
    assert await client.read_automation(theirs) is not None


@pytest.mark.filterwarnings("ignore:.*imghdr:DeprecationWarning")
async def test_people_are_told_once_there_is_a_block_to_tell_them_by(client: PrefectClient) -> None:
    from prefect.blocks.notifications import SlackWebhook

    keys = {one.key for one in NOTICES}
    block = SlackWebhook(url="https://hooks.slack.example/services/a/b")
    await block.save(NOTIFY)
    made = await reconcile(client, file=FILE)
    assert {name for _, kind, name in rows(made) if kind == "automation"} == keys
    assert (await reconcile(client, file=FILE)).changes == ()
    await SlackWebhook.adelete(NOTIFY)
    gone = await reconcile(client, file=FILE)
    assert {(action, name) for action, _, name in rows(gone)} == {("delete", key) for key in keys}


async def test_what_is_taken_out_of_the_file_is_removed(client: PrefectClient, tmp_path: Path) -> None:
    text = FILE.read_text()
    begin, end = (
        text.index("    schedules:\n      - slug: hourly"),
        text.index("  - name: default\n    entrypoint: flows.collect"),
    )
    file = tmp_path / "prefect.yaml"
    file.write_text(text[:begin] + text[end:])
    there = set(rows(await reconcile(client, file=file)))
    assert there == {("delete", "schedule", f"{REFRESH}#hourly"), ("delete", "variable", SWITCH)}
    assert (await reconcile(client, file=file)).changes == ()

    file.write_text(file.read_text()[: file.read_text().index("  - name: default\n    entrypoint: flows.tend_runs")])
    gone = rows(await reconcile(client, file=file))
    assert ("delete", "deployment", "tend-runs/default") in gone


async def test_a_file_that_is_wrong_changes_nothing(client: PrefectClient, tmp_path: Path) -> None:
    file = tmp_path / "prefect.yaml"
    file.write_text(FILE.read_text().replace("    tags: [ratchet]", "    tag: [ratchet]", 1))
    before = await ids(client)
    with pytest.raises(BadSetting, match=r"deployments.0.tag: Extra inputs"):
        await reconcile(client, file=file)
    assert await ids(client) == before
