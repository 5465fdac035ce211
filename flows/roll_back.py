"""Return to an earlier release."""

from __future__ import annotations

from prefect import flow
from pydantic import Field

from blocks.assistant import open_assistant
from flows.announcing import announce
from flows.drawing import publish_promotion
from flows.naming import run_name
from flows.requests import AssistantRequest, whoever_runs_this
from flows.running import perform
from tasks import releases
from tasks.core.promotion import Promotion


class RollBackRequest(AssistantRequest):
    """Where to, by whom and why."""

    to: str | None = Field(
        title="To release", default=None, description="Release id; default: the one before the current"
    )
    who: str | None = Field(
        title="Your name", default=None, description="Recorded in the history; default: the user the run belongs to"
    )
    reason: str = Field(
        title="Reason", default="rolled back by hand", min_length=1, description="Recorded in the history"
    )


@flow(name="roll-back", flow_run_name=run_name("roll back"))
async def roll_back(request: RollBackRequest) -> Promotion:
    """Make an earlier release current again. Needs nothing of the release it leaves.

    Args:
        request: Where to, by whom and why.
    """
    who = request.who or whoever_runs_this()
    async with open_assistant(request.assistant, request.block) as bench:
        made = await perform(releases.roll_back, bench.release_bench, to=request.to, who=who, reason=request.reason)
        announce(bench.assistant, "release.rolled-back", made.release, previous=made.previous)
        await publish_promotion(bench, made)
        return made
