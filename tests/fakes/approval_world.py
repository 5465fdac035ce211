"""Releases with verdicts to decide about, and flow runs of deployments as a worker runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow
from prefect.settings import get_current_settings

from infra.workbench import Workbench
from tasks.bundles import keep
from tasks.core.evidence import PAGE, REPORT, bundle, case_of, read_bundle
from tasks.core.gate import Gate
from tasks.core.promotion import VerdictWord
from tasks.core.verdict import Verdict
from tasks.evaluation import Evaluation


def judged(bench: Workbench, like: Evaluation, k: int, verdict: VerdictWord, doubts: Sequence[str] = ()) -> Evaluation:
    """A release that differs from the one of `like` in how many passages it shows, and a verdict on it today.

    The golden questions and answers in its evidence are those of `like`.
    """
    manifest = bench.releases.release(bench.assistant, like.release).manifest
    retrieval = manifest.retrieval.model_copy(update={"k": k})
    row = bench.releases.register(manifest.model_copy(update={"retrieval": retrieval}), f"shows {k} passages")
    files = {file.name: file.read_bytes() for file in bench.artifacts.path(like.id).iterdir()}
    evidence = replace(read_bundle(files), candidate=row.manifest)
    gates = tuple(Gate(name, "undecided", f"{name} is undecided.") for name in doubts)
    reports = {REPORT: f"# {verdict}: {row.id}\n\nWhat the report says.\n", PAGE: f"<h1>{verdict}</h1>"}
    id = keep(bundle(evidence, case_of(evidence), Verdict(verdict, gates), reports), bench.artifacts)
    standing = bench.releases.standing(bench.assistant)
    baseline = None if standing.unproven else standing.release
    found = replace(like, id=id, release=row.id, baseline=baseline, verdict=verdict, gates=gates)
    bench.evaluations.record(bench.assistant, found)
    return found


async def deployed(flow: Flow[..., Any], request: Mapping[str, object]) -> UUID:
    """A run of the flow's deployment that no worker has picked up yet."""
    async with get_client() as client:
        entrypoint = f"{flow.fn.__module__}.{flow.fn.__name__}"
        deployment = await client.create_deployment(await client.create_flow(flow), "default", entrypoint=entrypoint)
        run = await client.create_flow_run_from_deployment(deployment, parameters={"request": dict(request)})
    return run.id


async def runs(flow: Flow[..., Any], run: UUID) -> Any:
    """What a worker does with a run: its result; None when it was suspended."""
    try:
        return await run_flow(flow, flow_run=await state_of(run))
    except Pause:
        return None


def runs_elsewhere(run: UUID) -> str:
    """The same in a process of its own, which has ended on return. Returns what it logged."""
    api = get_current_settings().api.url
    environment = os.environ | {"PREFECT_API_URL": str(api), "PREFECT__FLOW_RUN_ID": str(run)}
    done = subprocess.run(
        [sys.executable, "-m", "prefect.engine"], env=environment, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


async def state_of(run: UUID) -> FlowRun:
    async with get_client() as client:
        return await client.read_flow_run(run)


async def artifacts_of(run: UUID) -> set[str | None]:
    """The keys of what is shown beside it."""
    of_run = FlowRunFilter(id=FlowRunFilterId(any_=[run]))
    async with get_client() as client:
        return {one.key for one in await client.read_artifacts(flow_run_filter=of_run)}


async def steps_of(run: UUID) -> list[str]:
    """The names of its task runs, of however many starts."""
    of_run = FlowRunFilter(id=FlowRunFilterId(any_=[run]))
    async with get_client() as client:
        return [task.name for task in await client.read_task_runs(flow_run_filter=of_run)]


async def filled_in(run: UUID, **form: str) -> str:
    """Sends the form as the Prefect UI does. Returns "ACCEPT", or why it was refused."""
    async with get_client() as client:
        answer = await client.resume_flow_run(run, run_input=form)
    return str(answer.status.value) if answer.status.value == "ACCEPT" else str(answer.details.reason)


async def shown_form(run: UUID) -> tuple[str, dict[str, Any]]:
    """The text and the fields of the dialog that resumes a run."""
    async with get_client() as client:
        state = (await client.read_flow_run(run)).state
        assert state is not None
        keys = state.state_details.run_input_keyset
        assert keys is not None
        text = await client.read_flow_run_input(run, keys["description"])
        schema = await client.read_flow_run_input(run, keys["schema"])
    return json.loads(text), json.loads(schema)
