"""The commands that change something: each runs a flow and shows what came of it."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

from prefect import Flow

from flows.reaching import reaching
from flows.terminal import STATUS_OF_VERDICT, ProgressLines, Shown
from flows.verdicts import evaluation_text, next_step, report_of
from infra.showing import showing
from infra.workbench import open_workbench
from tasks.core.evidence import REPORT
from tasks.core.ingestion import IngestReport
from tasks.reports import gate_rows
from tasks.vacuum import VacuumReport

R = TypeVar("R")


async def run(flow: Flow[Any, Coroutine[Any, Any, R]], request: object) -> R:
    """The flow's result. With a Prefect API configured it is a flow run there; without one, a plain call in here.

    Raises what the flow raises, and as `reaching` where there is no such server.
    """
    from prefect.settings import get_current_settings

    url = get_current_settings().api.url
    with showing(ProgressLines()):
        if url:
            with reaching(url):
                return await flow(request)
        return await flow.fn(request)


async def show_ingest(asked: Mapping[str, object]) -> Shown:
    """Ingests; while there is no golden set, the new snapshot also goes live, unproven."""
    from flows.refresh_assistant import RefreshRequest, refresh_assistant
    from flows.reingest_docs import ReingestRequest, reingest_docs

    request = ReingestRequest.model_validate(asked)
    proven = open_workbench(request.assistant).golden_set_id() is not None
    held = None
    if request.plan or proven:
        report, live = await run(reingest_docs, request), None
    else:
        refreshed = await run(refresh_assistant, RefreshRequest.model_validate(asked))
        report, live = refreshed.ingest, refreshed.promotion
        held = refreshed.release.id if refreshed.release and live is None else None
    return Shown(
        report.as_json() | {"release": live.release if live else None},
        _ingest_text(report, live.release if live else None, held, proven=proven),
    )


def _ingest_text(report: IngestReport, release: str | None, held: str | None, *, proven: bool) -> str:
    docs, chunks = report.documents, report.chunks
    texts = f"{report.embeds:,} texts ({_tokens(report)})"
    done = f"would embed {texts}; planned in" if report.is_plan else f"embedded   {texts};"
    lines = [
        f"snapshot {report.snapshot}" + ("" if report.is_new else " is up to date"),
        f"documents  {docs['added']:,} added, {docs['changed']:,} changed, {docs['deleted']:,} deleted, "
        f"{docs['unchanged']:,} unchanged, {docs['quarantined']:,} quarantined",
        f"chunks     {chunks['born']:,} born, {chunks['died']:,} died, {chunks['live']:,} live",
        f"{done} {report.seconds:.1f} s",
        *(f"  quarantined {q.uri}: {q.reason}" for q in report.quarantine),
    ]
    if report.skipped:
        lines.append(f"skipped    {report.skipped:,} files of kinds that nothing here reads")
    if not chunks["live"]:
        lines.append("No document has any text, so there is nothing to answer from.")
    if report.is_plan:
        lines[0] = f"plan: {lines[0]}"
    if release:
        lines.append(f'release {release} is live, unproven (no golden set yet). Try: ratchet ask "..."')
    elif held:
        lines.append(f"release {held} was rolled back and stays so; serve it again: ratchet rollback --to {held}")
    elif proven and report.is_new and not report.is_plan:
        lines.append("Judge the candidate on this snapshot: ratchet evaluate")
    return "\n".join(lines)


def _tokens(report: IngestReport) -> str:
    count = f"{'' if report.tokens_exact else 'about '}{report.tokens:,} tokens"
    return f"{count}, ${report.cost_usd:,.4f}" if report.cost_usd else count


async def show_collection(assistant: str) -> Shown:
    """What the places that are set gave, and who was told."""
    from flows.collect_labels import CollectRequest, collect_labels

    report = await run(collect_labels, CollectRequest(assistant=assistant))
    lines = [
        *(
            f"{one.name}: {one.accepted:,} accepted, {one.pending:,} pending, {one.duplicates:,} duplicates, "
            f"{one.errors:,} refused"
            for one in report.files
        ),
        f"{report.counts.new:,} new of the {report.counts.threshold:,} that start a training",
        *(f"told: {notice.key}" for notice in report.told),
    ]
    return Shown(report.as_json(), "\n".join(lines))


async def show_training(assistant: str, method: str, force: bool) -> Shown:
    """Trains and registers the candidate; judging and promoting it are commands of their own."""
    from flows.retrain_model import RetrainRequest, retrain_model

    asked = RetrainRequest.model_validate(
        {"assistant": assistant, "method": method, "force": force, "evaluate": False, "promote": False}
    )
    report = await run(retrain_model, asked)
    if report.training is None or report.release is None:
        return Shown(report.as_json(), f"Nothing was trained. {report.decision.reason}")
    made = report.training
    text = (
        f"{report.decision.reason} {report.choice.reason if report.choice else ''}\n"
        f"model    {made.model.id}, {made.examples:,} examples, {made.seconds:.0f} s\n"
        f"release  {report.release.id}. Judge it: ratchet evaluate"
    )
    return Shown(report.as_json(), text)


async def show_evaluation(assistant: str, release: str | None, whole: bool, export: Path | None) -> Shown:
    """The verdict with the gates that stopped it, or all; with `export` the evidence is also put there."""
    from flows.evaluate_release import EvaluateRequest, evaluate_release
    from tasks.bundles import export as copy_bundle

    evaluation = await run(evaluate_release, EvaluateRequest(assistant=assistant, release=release))
    report = report_of(open_workbench(assistant), evaluation)
    if export is not None:
        copy_bundle(report.parent, export)
        report = export / REPORT
    data = gate_rows(evaluation, report) | {"evaluation": evaluation.id, "next": next_step(evaluation)}
    return Shown(data, evaluation_text(evaluation, report, whole=whole), STATUS_OF_VERDICT[evaluation.verdict])


async def show_promotion(asked: Mapping[str, object]) -> Shown:
    """Promotes by hand."""
    from flows.promote_release import PromoteRequest, promote_release

    request = PromoteRequest.model_validate(asked)
    release = request.release
    made = await run(promote_release, request)
    if made is None:
        return Shown({"release": release, "promoted": False}, f"{release} is already being served.")
    data = {"release": made.release, "promoted": True, "previous": made.previous, "who": made.who, "at": made.at}
    return Shown(data, f"{made.release} is being served now, instead of {made.previous or 'nothing'}.")


async def show_vacuum(assistant: str, plan: bool, keep: int | None, drop_unused_vectors: bool) -> Shown:
    """What went, or would go, and whether the retained releases still find what they found."""
    from flows.vacuum_index import VacuumRequest, vacuum_index

    asked = VacuumRequest(assistant=assistant, plan=plan, keep_releases=keep, drop_unused_vectors=drop_unused_vectors)
    report = await run(vacuum_index, asked)
    return Shown(report.as_json(), vacuum_text(report))


def vacuum_text(report: VacuumReport) -> str:
    """A sentence per snapshot, then what went in numbers."""
    went = "would go" if report.is_plan else "went"
    lines = [
        *(fate.reason for fate in report.retention.fates),
        f"{len(report.retention.reclaim):,} snapshots, {report.lives.documents:,} documents and "
        f"{report.lives.chunks:,} chunks {went}",
        *(f"  collection {name} {went}" for name in report.collections),
        *(f"  {one.kind} {one.name} {went}: {one.size_bytes:,} bytes" for one in report.leftovers),
    ]
    if report.vectors:
        lines.append(f"{report.vectors.count:,} unused vectors {went}")
    lines.append(f"{report.bytes_freed:,} bytes of files and vectors")
    return "\n".join([*lines, *([report.probes.sentence] if report.probes else [])])
