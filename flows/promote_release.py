"""Make a proven release current."""

from __future__ import annotations

from prefect import flow
from pydantic import Field

from blocks.assistant import open_assistant
from flows.requests import AssistantRequest, whoever_runs_this
from flows.running import perform
from infra.workbench import Workbench
from tasks import releases
from tasks.core.promotion import Promotion


class PromoteRequest(AssistantRequest):
    """Which release, by whom and why."""

    release: str = Field(description="Release id, such as r-0123456789abcdef")
    who: str | None = Field(default=None, description="Recorded in the history; default: the user the run belongs to")
    reason: str | None = Field(default=None, description="Required for a release that was rolled back before")


@flow(name="promote-release", flow_run_name="{request.assistant}: promote {request.release}", log_prints=False)
async def promote_release(request: PromoteRequest) -> Promotion | None:
    """Promote a release whose verdict still holds; None when it is current already.

    Args:
        request: Which release, by whom and why.
    """
    async with open_assistant(request.assistant, request.block) as bench:
        return await promote(bench, request.release, who=request.who, reason=request.reason)


async def promote(
    bench: Workbench, release: str, *, who: str | None = None, reason: str | None = None
) -> Promotion | None:
    """Check the verdict against what is served now, check the bundle, move the pointer."""
    return await perform(
        releases.promote,
        bench.release_bench,
        release,
        golden_set=bench.golden_set_id(),
        who=who or whoever_runs_this(),
        reason=reason,
    )
