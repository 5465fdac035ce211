"""Bring the index up to date with the documents."""

from __future__ import annotations

import asyncio

from prefect import flow
from pydantic import Field

from blocks.assistant import open_assistant
from flows.drawing import all_of, drawn_progress, publish_documents
from flows.naming import run_name
from flows.requests import AssistantRequest
from flows.running import perform
from flows.spreading import TEXTS_A_DOCUMENT, spread
from flows.taking_turns import turn
from infra.showing import shown_progress
from infra.workbench import Workbench
from tasks import documents, probes, snapshots, sources
from tasks.core.document_catalog import RegisteredSource
from tasks.core.ingestion import IngestReport, Plan
from tasks.core.ports import Progress
from tasks.portions import file_portions, text_portions


class ReingestRequest(AssistantRequest):
    """Which documents, and how careful to be."""

    path: str | None = Field(
        title="Path",
        default=None,
        description="Folder, s3://bucket/prefix or git+repository@ref, registered the first time; "
        "default: every registered source",
    )
    source: str | None = Field(
        title="Source", default=None, description="Name of the source; needed only to re-point a registered one"
    )
    include: list[str] | None = Field(
        title="Include",
        default=None,
        description="Globs of the paths to ingest, such as guides/**/*.md; default: as registered",
    )
    exclude: list[str] | None = Field(
        title="Exclude",
        default=None,
        description="Globs of paths to leave out, whatever is included; default: as registered",
    )
    retry_quarantined: bool = Field(
        title="Retry what was refused",
        default=False,
        description="Also read again what was refused before and has not changed since",
    )
    plan: bool = Field(
        title="Plan only", default=False, description="Say what a run would do, exactly, and write nothing"
    )
    max_delete_fraction: float | None = Field(
        title="Most that may be deleted, 0 to 1",
        default=None,
        ge=0,
        le=1,
        description="Stop when more of the documents would vanish; default: the setting's",
    )


@flow(name="reingest-docs", flow_run_name=run_name("re-ingest"))
async def reingest_docs(request: ReingestRequest) -> IngestReport:
    """Scan the sources, read and embed what changed, build the next snapshot unseen, verify it, publish it.

    Then what the kept releases answer from is probed: a new snapshot must not change it.

    Args:
        request: Which documents, and how careful to be.
    """
    async with open_assistant(request.assistant, request.block) as bench:
        return await reingest(bench, request)


async def reingest(bench: Workbench, request: ReingestRequest) -> IngestReport:
    """The same, on an open workbench. Raises AssistantBusy where waiting for another run that builds did not help."""
    shop, size = bench.documents, bench.settings.fan_out_documents
    progress = all_of(shown_progress(), drawn_progress(f"{bench.assistant}-ingest-progress"))
    if request.plan:
        plan = await _plan(bench, request, progress)
        draft = await perform(documents.read, shop, plan, None, progress)
        report = await perform(snapshots.predict, shop, draft)
        await publish_documents(bench, draft, report)
        return report
    async with turn(shop, bench.settings.turn_wait_seconds) as lease:
        plan = await _plan(bench, request, progress)
        await spread(bench, request, file_portions(shop, plan, size), lease)
        draft = await perform(documents.read, shop, plan, lease, progress)
        missing = await asyncio.to_thread(snapshots.to_embed, shop, draft)
        await spread(bench, request, text_portions(shop, missing, TEXTS_A_DOCUMENT * size), lease)
        embedded = await perform(snapshots.embed, shop, draft, lease, progress, missing)
        built = await perform(snapshots.build, shop, embedded, lease, progress)
        report = await perform(snapshots.publish, shop, built, lease)
    await publish_documents(bench, draft, report)
    if report.is_new:
        probes.require_no_alarm(await perform(probes.recheck_probes, bench.probes))
    return report


async def _plan(bench: Workbench, request: ReingestRequest, progress: Progress | None) -> Plan:
    shop = bench.documents
    where = await _where(bench, request)
    found = await perform(sources.scan, shop, where, progress)
    return await perform(
        documents.plan,
        shop,
        found,
        max_delete_fraction=request.max_delete_fraction,
        retry_quarantined=request.retry_quarantined,
    )


async def _where(bench: Workbench, request: ReingestRequest) -> tuple[RegisteredSource, ...]:
    """The path that is asked for; without one, and where sources are configured, all of them."""
    if bench.settings.sources and request.path is None and request.source is None:
        places = [sources.Place(one.path, one.name, one.include, one.exclude) for one in bench.settings.sources]
        return await perform(sources.configured_sources, bench.documents, places)
    globs = {"include": request.include, "exclude": request.exclude}
    return await perform(sources.resolve_sources, bench.documents, request.path, request.source, **globs)
