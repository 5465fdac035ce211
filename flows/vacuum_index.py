"""Delete what no retained release can read."""

from __future__ import annotations

from dataclasses import replace

from prefect import flow
from pydantic import Field

from blocks.assistant import open_assistant
from flows.drawing import publish_report
from flows.naming import run_name
from flows.requests import AssistantRequest
from flows.running import perform
from flows.taking_turns import turn
from infra.workbench import Workbench
from tasks import probes, vacuum
from tasks.vacuum import VacuumReport
from tasks.vacuum_report import render_vacuum


class VacuumRequest(AssistantRequest):
    """How much to keep."""

    plan: bool = Field(
        title="Plan only", default=False, description="Say what a run would delete, exactly, and delete nothing"
    )
    keep_releases: int | None = Field(
        title="Releases to keep",
        default=None,
        ge=1,
        description="Releases a rollback can return to; default: the setting's",
    )
    drop_unused_vectors: bool = Field(
        title="Drop unused vectors",
        default=False,
        description="Also forget vectors that no snapshot uses; texts that come back are embedded again",
    )


@flow(name="vacuum-index", flow_run_name=run_name("vacuum"))
async def vacuum_index(request: VacuumRequest) -> VacuumReport:
    """Find what retained releases pin, reclaim the rest, ask each pinned release its probes again, report drift.

    Args:
        request: How much to keep.
    """
    async with open_assistant(request.assistant, request.block) as bench:
        return await clean(bench, request)


async def clean(bench: Workbench, request: VacuumRequest) -> VacuumReport:
    """The same, on an open workbench. Raises AssistantBusy where waiting for a run that ingests did not help.

    Raises IntegrityFailure when a release on an exact index finds other chunks than it always did.
    """
    if request.plan:
        retention = await perform(vacuum.retained, bench.vacuum, request.keep_releases)
        return await perform(vacuum.predict, bench.vacuum, retention, drop_unused_vectors=request.drop_unused_vectors)
    await perform(probes.record_missing_probes, bench.probes)
    report = await _reclaim(bench, request)
    report = replace(report, probes=await perform(probes.recheck_probes, bench.probes))
    await publish_report(f"{bench.assistant}-vacuum", render_vacuum(report))
    if report.probes is not None:
        probes.require_no_alarm(report.probes)
    return report


async def _reclaim(bench: Workbench, request: VacuumRequest) -> VacuumReport:
    shop = bench.vacuum
    async with turn(bench.documents, bench.settings.turn_wait_seconds) as lease:
        retention = await perform(vacuum.retained, shop, request.keep_releases)
        lives = await perform(vacuum.reclaim_catalog, shop, retention, lease)
        index_chunks = await perform(vacuum.reclaim_index, shop, retention, lease)
        collections = await perform(vacuum.drop_collections, shop, retention, lease)
        vectors = await perform(vacuum.drop_unused_vectors, shop, lease) if request.drop_unused_vectors else None
        leftovers = await perform(vacuum.remove_leftovers, shop)
    return VacuumReport(
        retention=retention,
        lives=lives,
        collections=collections,
        leftovers=leftovers,
        vectors=vectors,
        index_chunks=index_chunks,
        probes=None,
        is_plan=False,
    )
