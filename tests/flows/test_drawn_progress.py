from __future__ import annotations

import asyncio

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.runtime import flow_run

from flows import drawing
from flows.drawing import all_of, drawn_progress

pytestmark = [pytest.mark.usefixtures("prefect_server"), pytest.mark.xdist_group("prefect")]


def test_a_training_draws_its_progress_beside_its_flow_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "DRAWN_EVERY_SECONDS", 0.4)

    @flow
    async def trains() -> str:
        tell = drawn_progress("p")
        assert tell is not None
        await asyncio.to_thread(tell, "training: loss 2.50, 80 tokens/s, 80 s left", 0, 4)  # it may be over at once
        await asyncio.sleep(0.5)
        await asyncio.to_thread(tell, "training: loss 2.00, 80 tokens/s, 60 s left", 1, 4)
        await asyncio.to_thread(tell, "training: loss 1.50, 80 tokens/s, 40 s left", 2, 4)  # too soon to be drawn
        await asyncio.to_thread(tell, "training: loss 1.00, 80 tokens/s, 0 s left", 4, 4)
        return str(flow_run.get_id())

    async def drawn() -> list[tuple[object, str | None]]:
        run = await trains()
        async with get_client() as client:
            found = await client.read_artifacts(
                artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))  # type: ignore[arg-type]
            )
        return [(one.data, one.description) for one in found]

    assert asyncio.run(drawn()) == [(100.0, "training: loss 1.00, 80 tokens/s, 0 s left")]


def test_what_is_over_at_once_is_not_drawn() -> None:
    @flow
    async def does_little() -> str:
        tell = drawn_progress("p")
        assert tell is not None
        await asyncio.to_thread(tell, "read", 3, 3)
        return str(flow_run.get_id())

    async def count() -> int:
        run = await does_little()
        async with get_client() as client:
            found = await client.read_artifacts(
                artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))  # type: ignore[arg-type]
            )
        return len(found)

    assert asyncio.run(count()) == 0


def test_outside_a_flow_run_nobody_draws() -> None:
    assert drawn_progress("p") is None
    assert all_of(None, drawn_progress("p")) is None
