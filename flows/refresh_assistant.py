"""Follow the documents: re-ingest, judge the candidate on the new snapshot, promote it when it passes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from prefect import flow
from pydantic import Field

from blocks.assistant import open_assistant
from flows.announcing import announce
from flows.approval import asked_elsewhere, recalled
from flows.drawing import publish_promotion
from flows.evaluate_release import evaluate, propose
from flows.naming import run_name
from flows.promote_release import promote_judged, topic_now
from flows.reingest_docs import ReingestRequest, reingest
from flows.requests import whoever_runs_this
from flows.running import perform
from infra.workbench import Workbench
from tasks import releases
from tasks.core.ingestion import IngestReport
from tasks.core.promotion import Promotion
from tasks.evaluation import Evaluation
from tasks.releases import ReleaseRow


class RefreshRequest(ReingestRequest):
    """Which documents, and whether a release that passes goes live."""

    promote: bool = Field(
        title="Promote", default=True, description="Promote the candidate when it passes; else only judge it"
    )


@dataclass(frozen=True, slots=True)
class RefreshReport:
    """What came of it. `release` is None when there was nothing new to judge."""

    ingest: IngestReport
    release: ReleaseRow | None
    evaluation: Evaluation | None  # None while there is no golden set: the release goes live unproven
    promotion: Promotion | None
    approval: str | None = None  # what a person decided, or where one is asked to


@flow(name="refresh-assistant", flow_run_name=run_name("refresh"))
async def refresh_assistant(request: RefreshRequest) -> RefreshReport:
    """Re-ingest, build the candidate release on the new snapshot, judge it, promote it when it passes.

    Args:
        request: Which documents, and whether a release that passes goes live.
    """
    async with open_assistant(request.assistant, request.block) as bench:
        return await refresh(bench, request)


async def refresh(bench: Workbench, request: RefreshRequest) -> RefreshReport:
    """The same, on an open workbench. A run that waited for approval goes on with what it had judged by then."""
    report = await recalled(RefreshReport) or await follow(bench, request)
    if report.evaluation is None or not request.promote:
        return report
    outcome = await promote_judged(bench, report.evaluation, report)
    return replace(report, promotion=outcome.promotion, approval=outcome.approval)


async def follow(bench: Workbench, request: RefreshRequest) -> RefreshReport:
    """Re-ingests and judges the candidate; promotes nothing that could be judged."""
    ingest = await reingest(bench, request)
    if request.plan:
        return RefreshReport(ingest, None, None, None)
    release = await propose(bench, "new documents")
    if release is None:
        return RefreshReport(ingest, None, None, None)
    if bench.golden_set_id() is None:
        return RefreshReport(ingest, release, None, await go_live_unproven(bench, release))
    if waiting := await asked_elsewhere(topic_now(bench, release.id)):
        return RefreshReport(ingest, release, None, None, waiting)
    return RefreshReport(ingest, release, await evaluate(bench, release.id), None)


async def go_live_unproven(bench: Workbench, release: ReleaseRow) -> Promotion | None:
    """Before there is a golden set: integrity checks only, and everything says so."""
    made = await perform(
        releases.promote_unproven,
        bench.release_bench,
        release.id,
        allowed=bench.settings.allow_unproven,
        who=whoever_runs_this(),
    )
    if made is not None:
        announce(bench.assistant, "release.promoted", made.release, previous=made.previous)
        await publish_promotion(bench, made)
    return made
