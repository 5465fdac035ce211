"""Judge a release against the one being served."""

from __future__ import annotations

from prefect import flow
from pydantic import Field

from blocks.assistant import open_assistant
from flows.announcing import announce_verdict
from flows.drawing import all_of, drawn_progress, publish_evaluation
from flows.naming import run_name
from flows.requests import AssistantRequest
from flows.running import perform
from infra.showing import shown_progress
from infra.workbench import Workbench
from tasks import candidates, evaluation, probes, releases
from tasks.core.errors import NotFound
from tasks.core.releases import ReleaseManifest
from tasks.evaluation import Evaluation
from tasks.releases import ReleaseRow


class EvaluateRequest(AssistantRequest):
    """Which release."""

    release: str | None = Field(title="Release", default=None, description="Release id; default: the newest candidate")


@flow(name="evaluate-release", flow_run_name=run_name("evaluate"))
async def evaluate_release(request: EvaluateRequest) -> Evaluation:
    """Ask the candidate and the release being served the golden questions, decide, keep the evidence, report.

    Args:
        request: Which release.
    """
    async with open_assistant(request.assistant, request.block) as bench:
        return await evaluate(bench, request.release or (await candidate_to_judge(bench)).id)


async def evaluate(bench: Workbench, release: str) -> Evaluation:
    """The same, on an open workbench. An unproven release is no baseline: its successor is judged on floors alone."""
    candidate = bench.releases.release(bench.assistant, release).manifest
    standing = bench.releases.standing(bench.assistant)
    baseline = None
    if standing.release is not None and not standing.unproven:
        baseline = bench.releases.release(bench.assistant, standing.release).manifest
    progress = all_of(shown_progress(), drawn_progress(f"{bench.assistant}-evaluation-progress"))
    judged = await perform(evaluation.evaluate, bench.evaluation, candidate, baseline, progress)
    await publish_evaluation(bench, judged)
    announce_verdict(bench.assistant, judged)
    return judged


async def propose(bench: Workbench, cause: str) -> ReleaseRow | None:
    """The candidate on the newest snapshot, registered; None when what is served answers from the same documents.

    While nothing proven is served it is the base model, prompted with examples from the labels.
    """
    manifest = await perform(candidates.propose, bench.candidates)
    if manifest is None:
        return None
    served = bench.releases.standing(bench.assistant).release
    before = bench.releases.release(bench.assistant, served).manifest if served else None
    same_documents = before is not None and before.snapshot == manifest.snapshot
    return await register(bench, manifest, "other settings" if same_documents else cause)


async def register(bench: Workbench, manifest: ReleaseManifest, cause: str) -> ReleaseRow:
    """The release's row, and a record of what it finds for its probe questions at this moment."""
    row = bench.releases.register(manifest, cause)
    await perform(probes.record_probes, bench.probes, row)
    return row


async def candidate_to_judge(bench: Workbench) -> ReleaseRow:
    """The newest release since the one being served; without one, the one that new documents call for.

    Raises NotFound when nothing is new.
    """
    rows, history = bench.releases.releases(bench.assistant), bench.releases.history(bench.assistant)
    waiting = releases.candidate(rows, history) or await propose(bench, "new documents")
    if waiting is None:
        raise NotFound(
            f"Assistant {bench.assistant} has no candidate: nothing is new since the release being served. "
            "One is made by `ratchet train`, or when documents change by `ratchet ingest`."
        )
    return waiting
