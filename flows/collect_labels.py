"""Import what lies where labels are brought together, and tell once that enough new ones have arrived."""

from __future__ import annotations

from dataclasses import replace

from prefect import flow
from pydantic import Field

from blocks.assistant import open_assistant
from flows.naming import run_name
from flows.nudging import tell
from flows.requests import AssistantRequest
from flows.running import log, perform
from infra.workbench import Workbench
from tasks import label_collection, labels
from tasks.label_collection import CollectReport


class CollectRequest(AssistantRequest):
    """Where to look."""

    places: tuple[str, ...] | None = Field(
        title="Places",
        default=None,
        description="Label files, folders, s3://bucket/key or prefix/; default: those that are set",
    )


@flow(name="collect-labels", flow_run_name=run_name("collect labels"))
async def collect_labels(request: CollectRequest) -> CollectReport:
    """Import labels from every place, see whether they cross the threshold, tell whoever trains, report.

    Feedback that was accepted in review is among the labels already. A place that cannot be read fails the run at its
    end, when all others were read.

    Args:
        request: Where to look.
    """
    async with open_assistant(request.assistant, request.block) as bench:
        return await collect(bench, request)


async def collect(bench: Workbench, request: CollectRequest) -> CollectReport:
    """The same, on an open workbench."""
    places = bench.settings.label_sources if request.places is None else request.places
    report = await perform(label_collection.import_places, bench.labels, places, bench.label_files)
    await perform(labels.notice_crossing, bench.labels)
    report = replace(report, told=tuple(await tell(bench.outbox, bench.assistant)))
    log(f"{report.counts.new} new labels of {report.counts.threshold}; {len(report.told)} notices told")
    label_collection.require_all_read(report)
    return report
