"""What a flow run shows in the Prefect UI: progress, tables, reports and links. Outside a flow run, nothing."""

from __future__ import annotations

import json
import time
from typing import cast
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.artifacts import (
    acreate_link_artifact,
    acreate_markdown_artifact,
    acreate_table_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.context import FlowRunContext

from flows.running import log
from infra.workbench import Workbench
from tasks.core.evidence import PAGE, REPORT
from tasks.core.ingestion import Draft, IngestReport, changed_documents
from tasks.core.ports import Progress
from tasks.core.promotion import Promotion
from tasks.evaluation import Evaluation
from tasks.reports import gate_table
from tasks.training import RegisteredModel
from tasks.training_records import CURVES, curve_table

DRAWN_EVERY_SECONDS = 5.0
MOST_ROWS = 500  # of a table of documents: the rest is counted


async def publish_report(key: str, markdown: str) -> None:
    """Shows a Markdown report beside the flow run in the Prefect UI. Outside a flow run there is nowhere to show it."""
    if FlowRunContext.get() is not None:
        await acreate_markdown_artifact(markdown=markdown, key=key)


async def publish_evaluation(bench: Workbench, evaluation: Evaluation) -> None:
    """Shows a verdict beside the flow run: the report, its gates as a table, and a link to the page with the plots."""
    if FlowRunContext.get() is None:
        return
    folder = bench.artifacts.path(evaluation.id)
    key, head = f"{bench.assistant}-evaluation", f"{evaluation.verdict}: {evaluation.release}"
    await acreate_markdown_artifact(
        markdown=(folder / REPORT).read_text(encoding="utf-8"), key=key, description=f"{head}. Why, in words"
    )
    await acreate_table_artifact(table=gate_table(evaluation), key=f"{key}-gates", description=f"{head}. Every gate")
    page = folder / PAGE
    if page.is_file():
        await acreate_link_artifact(
            link=page.as_uri(),
            link_text=str(page),
            key=f"{key}-page",
            description=f"{head}. The whole report with plots: a file on the machine of this run, so copy the link",
        )


async def publish_documents(bench: Workbench, draft: Draft, report: IngestReport) -> None:
    """Shows which documents changed and which were refused as a table, and logs what came of them in a sentence."""
    if FlowRunContext.get() is None:
        return
    said = report.sentence
    log(said)
    rows = changed_documents(draft)
    if not rows:
        return
    table = [{"document": one.uri, "change": one.change, "chunks": one.chunks, "why": one.why} for one in rows]
    if len(table) > MOST_ROWS:
        left = len(table) - MOST_ROWS
        table = [*table[:MOST_ROWS], {"document": f"and {left:,} more", "change": "", "chunks": None, "why": ""}]
    await acreate_table_artifact(table=table, key=f"{bench.assistant}-documents", description=said)


async def publish_promotion(bench: Workbench, made: Promotion) -> None:
    """Logs what is served now and shows a link to the service that serves it."""
    if FlowRunContext.get() is None:
        return
    said = f"Release {made.release} is served" + (f", in place of {made.previous}" if made.previous else "")
    log(said)
    named = bench.settings.service_url or f"http://{bench.settings.service_host}:{bench.settings.service_port}"
    where = f"{named.partition(',')[0].strip().rstrip('/')}/v1/models"
    await acreate_link_artifact(link=where, link_text=where, key=f"{bench.assistant}-service", description=said)


async def publish_curves(bench: Workbench, model: RegisteredModel) -> None:
    """The losses of a training beside the run."""
    if model.lineage.record:
        curves = json.loads((bench.artifacts.path(model.lineage.record) / CURVES).read_text())
        await publish_report(f"{bench.assistant}-training", curve_table(curves))


def drawn_progress(key: str) -> Progress | None:
    """Progress as an artifact of the flow run, redrawn every few seconds; what is over sooner is not drawn.

    None outside a flow run.
    """
    if FlowRunContext.get() is None:
        return None
    drawn: UUID | None = None
    last = time.monotonic()

    def tell(what: str, done: int, total: int) -> None:
        nonlocal drawn, last
        now, percent = time.monotonic(), 100.0 * done / max(1, total)
        if now - last < DRAWN_EVERY_SECONDS and (drawn is None or done < total):
            return
        last = now
        try:
            drawn = _draw(drawn, key, percent, what)
        except (httpx.HTTPError, RuntimeError) as error:  # a server that is away ends no work
            get_run_logger().warning(f"The progress could not be drawn: {error}")

    return tell


def _draw(drawn: UUID | None, key: str, percent: float, what: str) -> UUID:
    if drawn is None:
        made = create_progress_artifact(percent, key, what, _sync=True)  # type: ignore[call-arg]
    else:
        made = update_progress_artifact(drawn, percent, what, _sync=True)  # type: ignore[call-arg]
    return cast(UUID, made)


def all_of(*tellers: Progress | None) -> Progress | None:
    """Tells each of them; None when there is nobody to tell."""
    known = [one for one in tellers if one is not None]

    def tell(what: str, done: int, total: int) -> None:
        for one in known:
            one(what, done, total)

    return tell if known else None


def logged_progress() -> Progress | None:
    """Progress into the flow run's log, each thing that is said once. None outside a flow run."""
    if FlowRunContext.get() is None:
        return None
    said = ""

    def tell(what: str, _done: int, _total: int) -> None:
        nonlocal said
        if what != said:
            get_run_logger().info(what)
        said = what

    return tell
