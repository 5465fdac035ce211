"""The automations at work on a real Prefect server: killed runs become Crashed, and people are told by their block."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from deployed_things import clear_deployed
from http_fake import QuietHandler, serving
from prefect import flow, get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events import emit_event
from prefect.events.schemas.automations import AutomationCore
from prefect.settings import PREFECT_API_URL

from flows.announcing import announce
from flows.deploying.reconcile import reconcile
from infra.deploy.catalogue import ASSISTANTS, NOTIFY, RUNS, WANTED

pytestmark = [
    pytest.mark.long,
    pytest.mark.usefixtures("prefect_server"),
    pytest.mark.xdist_group("prefect"),
    pytest.mark.filterwarnings("ignore:.*imghdr:DeprecationWarning"),  # Prefect's block of notifications
]

FILE = Path(__file__).parents[2] / "prefect.yaml"
SILENT = timedelta(seconds=10)  # the least that Prefect allows; the catalogue says nine minutes
PATIENCE_SECONDS = 120.0  # of a busy machine

# A flow run with Prefect's own heartbeats, every two seconds: the least that its setting allows is 30.
WAITS = """
import asyncio, sys
from prefect import flow, flow_engine, tags
from prefect.runtime import flow_run

flow_engine.MINIMUM_HEARTBEAT_INTERVAL = 2
flow_engine.BaseFlowRunEngine.heartbeat_seconds = property(lambda self: 2)

@flow(name="waits")
async def waits():
    print(flow_run.id, flush=True)
    await asyncio.to_thread(sys.stdin.readline)

with tags(*sys.argv[1:]):
    asyncio.run(waits())
"""


@pytest.fixture(scope="module")
def listener(prefect_server: None) -> Iterator[list[dict[str, str]]]:
    """A deployed server, and what was said to its people; afterwards nothing of it is left for other tests."""
    heard: list[dict[str, str]] = []

    class Listener(QuietHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

    with serving(Listener, heard) as address:
        asyncio.run(_deploy(f"{address}/"))
        yield heard
        asyncio.run(_forget())


async def _deploy(url: str) -> None:
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    block = CustomWebhookNotificationBlock(
        name="people", url=url, json_data={"subject": "{{subject}}", "body": "{{body}}"}
    )
    await block.save(NOTIFY, overwrite=True)
    async with get_client() as client:
        await reconcile(client, file=FILE)


async def _forget() -> None:
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    await CustomWebhookNotificationBlock.adelete(NOTIFY)
    await clear_deployed()


@pytest.fixture
def told(listener: list[dict[str, str]]) -> list[dict[str, str]]:
    """What the test's people were told."""
    listener.clear()
    return listener


@pytest.fixture
async def client(told: list[dict[str, str]]) -> AsyncIterator[PrefectClient]:
    async with get_client() as client:
        yield client


async def test_a_killed_run_becomes_crashed_and_people_are_told_while_living_and_foreign_runs_are_left_alone(
    client: PrefectClient, told: list[dict[str, str]]
) -> None:
    await shorten(client)
    with waiting(RUNS) as dead, waiting(RUNS) as alive, waiting("theirs") as theirs:
        ids = [UUID(one.stdout.readline().strip()) for one in (dead, alive, theirs) if one.stdout]
        await eventually(lambda: all_have_beaten(client, ids))  # what was never heard of cannot fall silent
        for one in (dead, theirs):
            one.kill()
            one.wait()
        assert [await state(client, one) for one in ids] == [StateType.RUNNING] * 3

        await eventually(lambda: is_in(client, ids[0], StateType.CRASHED))
        crashed = await client.read_flow_run(ids[0])
        assert crashed.state is not None
        assert "No sign of life" in (crashed.state.message or "")
        await eventually(lambda: heard(told, f"Ratchet: {crashed.name} is Crashed", "No sign of life"))
        assert [await state(client, one) for one in ids[1:]] == [StateType.RUNNING] * 2
        alive.communicate("end\n")
    assert await state(client, ids[1]) is StateType.COMPLETED
    assert len(told) == 1
    await client.delete_flow_run(ids[2])


async def test_a_run_that_completed_stays_completed_though_its_last_heartbeat_was_heard_later(
    client: PrefectClient, told: list[dict[str, str]]
) -> None:
    await shorten(client)
    with waiting(RUNS) as over:
        assert over.stdout is not None
        run = UUID(over.stdout.readline().strip())
        over.communicate("end\n")
    tag = {"prefect.resource.id": f"prefect.tag.{RUNS}", "prefect.resource.role": "tag"}
    resource = {"prefect.resource.id": f"prefect.flow-run.{run}"}
    emit_event("prefect.flow-run.heartbeat", resource=resource, related=[tag])
    await eventually(lambda: heard(told, "An automation's action failed", "already in terminal state COMPLETED"))
    assert await state(client, run) is StateType.COMPLETED


async def test_people_are_told_of_promotions_holds_and_rejections(
    client: PrefectClient, told: list[dict[str, str]]
) -> None:
    topics = ("release.promoted", "release.held", "release.rejected", "release.rolled-back", "release.evaluated")

    @flow(name="announces")
    async def announces() -> None:
        for topic in topics:
            announce("handbook", topic, "r-1234", evaluation="e-1")

    await announces()
    for topic in topics[:4]:
        await eventually(lambda topic=topic: heard(told, f"ratchet.{topic}: handbook", "Release r-1234 of handbook."))
    assert len(told) == 4


async def test_people_are_told_of_an_automation_whose_action_failed(
    client: PrefectClient, told: list[dict[str, str]]
) -> None:
    gone = await client.read_deployment_by_name("refresh-assistant/default")
    await client.delete_deployment(gone.id)
    emit_event("ratchet.docs.changed", resource={"prefect.resource.id": f"{ASSISTANTS}handbook", WANTED: "wanted"})
    await eventually(lambda: heard(told, "An automation's action failed", "Ratchet: documents changed: "))
    assert [one["subject"] for one in told] == ["An automation's action failed"]


async def shorten(client: PrefectClient) -> None:
    """The automation as it is deployed, with less patience."""
    zombie = next(one for one in await client.read_automations() if "ratchet-key:zombie-runs" in one.tags)
    quick = zombie.trigger.model_copy(update={"within": SILENT})
    core = AutomationCore.model_validate(zombie.model_dump(exclude={"owner_resource"}))
    await client.update_automation(zombie.id, core.model_copy(update={"trigger": quick}))


@contextmanager
def waiting(*tags: str) -> Iterator[subprocess.Popen[str]]:
    """A process with a flow run in the middle; it ends when it is told a line."""
    environment = os.environ | {"PREFECT_API_URL": PREFECT_API_URL.value() or "", "PREFECT_LOGGING_LEVEL": "ERROR"}
    process = subprocess.Popen(
        [sys.executable, "-c", WAITS, *tags],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield process
        process.kill()


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not await holds():
        assert time.monotonic() < until, "It did not happen in time."
        await asyncio.sleep(0.3)


async def heard(told: list[dict[str, str]], subject: str, body: str) -> bool:
    return any(one["subject"] == subject and body in one["body"] for one in told)


async def all_have_beaten(client: PrefectClient, runs: Sequence[UUID]) -> bool:
    """Whether the server knows a heartbeat of each run."""
    resources = [f"prefect.flow-run.{run}" for run in runs]
    beats = {"event": {"name": ["prefect.flow-run.heartbeat"]}, "resource": {"id": resources}}
    answer = await client._client.post("/events/filter", json={"filter": beats})
    return {one["resource"]["prefect.resource.id"] for one in answer.raise_for_status().json()["events"]} == {
        *resources
    }


async def is_in(client: PrefectClient, run: UUID, wanted: StateType) -> bool:
    return await state(client, run) is wanted


async def state(client: PrefectClient, run: UUID) -> StateType | None:
    return (await client.read_flow_run(run)).state_type
