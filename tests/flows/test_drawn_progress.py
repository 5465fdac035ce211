from __future__ import annotations

import asyncio

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.runtime import flow_run

from flows.running import all_of, drawn_progress

pytestmark = [pytest.mark.usefixtures("prefect_server"), pytest.mark.xdist_group("prefect")]


def test_a_training_draws_its_progress_beside_its_flow_run() -> None:
    @flow
    async def trains() -> str:
        tell = drawn_progress()
        assert tell is not None
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


def test_outside_a_flow_run_nobody_draws() -> None:
    assert drawn_progress() is None
    assert all_of(None, drawn_progress()) is None
