"""Two runs of one assistant at once: the deployment's run waits for its turn, the person at a prompt is told."""

import asyncio
from pathlib import Path

import pytest
from approval_world import deployed, runs

from flows import taking_turns
from flows.reingest_docs import ReingestRequest, reingest_docs
from infra.workbench import open_workbench
from tasks.core.errors import AssistantBusy
from tasks.documents import holding_lease

pytestmark = [pytest.mark.usefixtures("prefect_server", "home"), pytest.mark.xdist_group("prefect")]


async def test_a_deployments_run_waits_until_the_other_has_built(docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking_turns, "ASK_SECONDS", 0.1)
    bench = open_workbench("default")
    run = await deployed(reingest_docs, {"path": str(docs)})
    with holding_lease(bench.documents):
        waiting = asyncio.create_task(runs(reingest_docs, run))
        await asyncio.sleep(1)
        assert not waiting.done()
        assert bench.document_catalog.published("default") is None
    report = await waiting
    assert (report.snapshot, report.documents["added"]) == (1, 3)


async def test_it_does_not_wait_for_ever(docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking_turns, "ASK_SECONDS", 0.1)
    monkeypatch.setenv("RATCHET_TURN_WAIT_SECONDS", "0.3")
    run = await deployed(reingest_docs, {"path": str(docs)})
    with holding_lease(open_workbench("default").documents), pytest.raises(AssistantBusy):
        await runs(reingest_docs, run)


async def test_at_a_prompt_nobody_waits(docs: Path) -> None:
    with holding_lease(open_workbench("default").documents), pytest.raises(AssistantBusy, match="Wait for it, or stop"):
        await reingest_docs(ReingestRequest(path=str(docs)))
