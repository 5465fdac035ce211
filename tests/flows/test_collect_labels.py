"""collect-labels against a real Prefect server: enough labels start one run of the retrain deployment."""

import json
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from flows.collect_labels import CollectRequest, collect_labels
from flows.nudging import nudge
from flows.retrain_model import retrain_model
from infra.workbench import open_workbench
from tasks.core.errors import CannotRetry
from tasks.outbox import THRESHOLD_REACHED, Notice

pytestmark = [pytest.mark.usefixtures("prefect_server", "home"), pytest.mark.xdist_group("prefect")]
THRESHOLD = 3


@pytest.fixture
def labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "labels"
    folder.mkdir()
    monkeypatch.setenv("RATCHET_RETRAIN_THRESHOLD", str(THRESHOLD))
    monkeypatch.setenv("RATCHET_LABEL_SOURCES", json.dumps([str(folder)]))
    return folder


def write(folder: Path, name: str, *numbers: int) -> None:
    rows = [{"question": f"Who turns valve {n}?", "answer": f"Number {n}.", "split": "train"} for n in numbers]
    (folder / name).write_text("\n".join(json.dumps(row) for row in rows))


async def deployed(name: str, assistant: str = "default") -> UUID:
    async with get_client() as client:
        flow = await client.create_flow(retrain_model)
        request = {"assistant": assistant, "evaluate": False}
        return await client.create_deployment(flow, name, parameters={"request": request}, paused=True)


async def runs_of(deployment: UUID) -> list[FlowRun]:
    async with get_client() as client:
        which = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployment]))
        return await client.read_flow_runs(flow_run_filter=which)


def request(assistant: str) -> CollectRequest:
    return CollectRequest(assistant=assistant)


async def test_enough_labels_start_one_training_however_often_they_are_collected(labels: Path) -> None:
    deployment = await deployed("collected")
    write(labels, "a.jsonl", 1, 2)
    report = await collect_labels(request("collected"))
    assert [(file.accepted, file.failed) for file in report.files] == [(2, None)]
    assert (report.told, await runs_of(deployment)) == ((), [])
    write(labels, "b.jsonl", 3, 4)
    told = (await collect_labels(request("collected"))).told
    [run] = await runs_of(deployment)
    assert [notice.key for notice in told] == [run.idempotency_key]
    assert run.parameters == {"request": {"assistant": "collected", "evaluate": False}}
    again = await collect_labels(request("collected"))
    assert (again.told, len(await runs_of(deployment))) == ((), 1)
    assert [file.duplicates for file in again.files] == [2, 2]


async def test_a_notice_that_is_told_twice_starts_one_run() -> None:
    deployment = await deployed("twice")
    notice = Notice("a-key-of-its-own", "twice", THRESHOLD_REACHED, {"new": 3}, "now")
    assert await nudge(notice)
    assert await nudge(notice)
    assert len(await runs_of(deployment)) == 1


async def test_a_topic_that_no_flow_acts_on_is_told_as_an_event_alone() -> None:
    deployment = await deployed("eventful")
    assert await nudge(Notice("another-key", "eventful", "model.retiring", {"days": 30}, "now"))
    assert await runs_of(deployment) == []


async def test_while_prefect_cannot_be_reached_the_notice_waits() -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}):
        assert not await nudge(Notice("a-key", "away", THRESHOLD_REACHED, {}, "now"))


async def no_deployment_for_everybody() -> None:
    """The server is shared by all tests of flows, and some deploy under `default`."""
    async with get_client() as client:
        with suppress(ObjectNotFound):
            await client.delete_deployment((await client.read_deployment_by_name("retrain-model/default")).id)


async def test_without_a_deployment_the_notice_waits_for_one(labels: Path) -> None:
    await no_deployment_for_everybody()
    write(labels, "a.jsonl", *range(THRESHOLD))
    report = await collect_labels(request("early"))
    assert (report.counts.new, report.told) == (THRESHOLD, ())
    assert len(open_workbench("early").outbox.pending("early")) == 1
    deployment = await deployed("early")
    assert len((await collect_labels(request("early"))).told) == 1
    assert len(await runs_of(deployment)) == 1


async def test_a_place_that_is_not_there_fails_the_run_after_everything_else_was_done(labels: Path) -> None:
    deployment = await deployed("broken")
    write(labels, "a.jsonl", *range(THRESHOLD))
    asked = CollectRequest(assistant="broken", places=("/nowhere/labels.jsonl", str(labels)))
    with pytest.raises(CannotRetry, match="There is no file /nowhere"):
        await collect_labels(asked)
    assert len(await runs_of(deployment)) == 1
