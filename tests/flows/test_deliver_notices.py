"""Changes of documents against a real Prefect server: one run for what waits, another for what comes once it runs."""

from __future__ import annotations

import time
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.objects import FlowRun
from prefect.settings import get_current_settings
from prefect.states import Running
from service_fakes import running
from sqlalchemy import Engine
from webhook_fakes import GENERIC, catalog_with, settings, standard

from flows.deliver_notices import DeliverRequest, deliver_notices
from flows.refresh_assistant import refresh_assistant
from infra.adapters.catalog.deliveries import CatalogDeliveries
from infra.adapters.catalog.outbox import CatalogOutbox
from infra.adapters.prefect_runs import PrefectRuns
from infra.webhooks.open_receiver import receiver_of
from tasks.core.source_changes import Concern
from tasks.outbox import DOCS_CHANGED, deliver

pytestmark = [pytest.mark.usefixtures("prefect_server", "home"), pytest.mark.xdist_group("prefect")]


async def deployed(name: str) -> UUID:
    async with get_client() as client:
        flow = await client.create_flow(refresh_assistant)
        parameters = {"request": {"assistant": "default", "promote": False}}
        return await client.create_deployment(flow, name, parameters=parameters, paused=True)


async def runs_of(deployment: UUID) -> list[FlowRun]:
    async with get_client() as client:
        which = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployment]))
        return await client.read_flow_runs(flow_run_filter=which)


async def begin(run: FlowRun) -> None:
    async with get_client() as client:
        await client.set_flow_run_state(run.id, Running(), force=True)


def change(engine: Engine, assistant: str, number: int) -> None:
    concern = Concern(assistant, "docs", f"{DOCS_CHANGED}:{assistant}:{number}", {"source": "docs"})
    assert CatalogDeliveries(engine, 1e6).take("generic", (f"id:{assistant}{number}",), [concern]) == [concern.key]


async def test_a_sweep_starts_one_run_per_assistant_and_the_next_one_only_for_what_came_after_it_began(
    home: Path,
) -> None:
    engine = catalog_with(settings(home))
    one, two = await deployed("swept-one"), await deployed("swept-two")
    for number in range(3):
        change(engine, "swept-one", number)
    change(engine, "swept-two", 1)
    told = await deliver_notices(DeliverRequest())
    [run], [other] = await runs_of(one), await runs_of(two)
    assert sorted(told) == sorted(filter(None, (run.idempotency_key, other.idempotency_key)))
    assert run.parameters == {"request": {"assistant": "swept-one", "promote": False}}
    assert await deliver_notices(DeliverRequest()) == []

    change(engine, "swept-one", 3)
    assert await deliver_notices(DeliverRequest()) == [run.idempotency_key]  # it waits, so it will read that too
    assert len(await runs_of(one)) == 1
    await begin(run)
    change(engine, "swept-one", 4)
    await deliver_notices(DeliverRequest())
    assert len(await runs_of(one)) == 2
    assert len(await runs_of(two)) == 1


async def test_a_webhook_starts_a_run_within_five_seconds_and_the_same_one_again_starts_none(
    tmp_path: Path,
) -> None:
    asked = settings(tmp_path / "hooked")
    catalog_with(asked, [("hooked", "wiki", "/srv/wiki", [], [])])
    deployment = await deployed("hooked")
    headers, body = standard({"source": "wiki", "assistant": "hooked"}, GENERIC)
    api = get_current_settings().api.url
    assert api
    with running(receiver_of(asked, prefect=PrefectRuns(api))) as address, httpx.Client() as http:
        for _ in range(3):
            assert http.post(f"{address}/hooks/generic", headers=headers, content=body).status_code in (200, 202)
        posted, found = time.monotonic(), []
        while not found and time.monotonic() - posted < 5:
            found = await runs_of(deployment)
        assert len(found) == 1
        assert http.post(f"{address}/hooks/generic", headers=headers, content=body).json() == {"status": "already"}


async def test_while_prefect_is_away_nothing_is_decided_so_that_all_of_it_is_one_run_later(home: Path) -> None:
    engine = catalog_with(settings(home))
    outbox, away = CatalogOutbox(engine), PrefectRuns("http://127.0.0.1:9/api")
    change(engine, "away", 1)
    assert await deliver(outbox, "away", away.nudge, away.find) == []
    [waiting] = outbox.pending("away")
    assert waiting.telling is None


async def test_what_was_left_by_a_receiver_before_is_told_when_one_starts(tmp_path: Path) -> None:
    asked = settings(tmp_path / "restarted")
    engine = catalog_with(asked)
    deployment = await deployed("restarted")
    change(engine, "restarted", 1)
    api = get_current_settings().api.url
    assert api
    with running(receiver_of(asked, prefect=PrefectRuns(api))):
        end, found = time.monotonic() + 5, []
        while not found and time.monotonic() < end:
            found = await runs_of(deployment)
    assert len(found) == 1
