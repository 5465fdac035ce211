"""`ratchet models` where models are made at a vendor: the jobs that have made none yet, or never will."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast, get_args

import pytest

from flows.model_commands import show_models
from infra.settings import Settings
from infra.workbench import Workbench, open_workbench
from tasks.core.hosted_jobs import Active, Early, Ended, HostedJob, JobError, State
from tasks.core.releases import ModelRef, SnapshotRef
from tasks.training import Lineage

STATES = cast("tuple[State, ...]", (*get_args(Early), *get_args(Active), *get_args(Ended)))
MODEL = "ft:gpt-4.1-mini-2025-04-14:acme::1"


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return open_workbench("default", Settings(home=tmp_path))


def note(bench: Workbench, intent: str, state: State, **known: object) -> HostedJob:
    job = HostedJob("default", intent, "gpt-4.1-mini", "supervised", 12_000, 0.36, begun_at=7.0, wanted=("sha",))
    job = replace(job, state=state, **known)  # type: ignore[arg-type]
    return bench.hosted_jobs.change("default", intent, lambda *_: job)


def lines_of(bench: Workbench) -> dict[str, list[str]]:
    """The words of each line of the table, by its first."""
    return {line.split()[0]: line.split() for line in show_models(bench).text.splitlines() if line.strip()}


@pytest.mark.parametrize("state", STATES)
def test_a_job_without_a_model_is_shown_with_its_state(bench: Workbench, state: State) -> None:
    note(bench, "t-1", state, job="ftjob-1")
    assert lines_of(bench)["ftjob-1"][1:4] == ["hosted", "job", state]
    [job] = cast("list[dict[str, object]]", show_models(bench).data["jobs"])
    assert (job["intent"], job["job"], job["state"], job["tokens"]) == ("t-1", "ftjob-1", state, 12_000)


def test_a_job_that_the_vendor_never_named_goes_by_its_intent_and_an_error_is_told(bench: Workbench) -> None:
    note(bench, "t-1", "intended")
    note(bench, "t-2", "failed", job="ftjob-2", error=JobError("invalid_training_file", "too few rows"))
    assert lines_of(bench).keys() >= {"t-1", "ftjob-2"}
    jobs = cast("list[dict[str, object]]", show_models(bench).data["jobs"])
    assert [job["error"] for job in jobs if job["state"] == "failed"] == [
        {"code": "invalid_training_file", "message": "too few rows", "param": None}
    ]


def test_a_job_that_made_a_model_is_that_model(bench: Workbench) -> None:
    note(bench, "t-1", "succeeded", job="ftjob-1", model=MODEL)
    bench.trainings.start("default", "t-1", [])
    ref = ModelRef(kind="hosted", base=MODEL, base_digest="")
    snapshot = SnapshotRef(number=1, manifest_hash="m", collection="c")
    bench.trainings.succeed("default", ref, Lineage("t-1", "hosted-1", snapshot, (), 10, {}))
    assert "ftjob-1" not in show_models(bench).text
    [model] = cast("list[dict[str, object]]", show_models(bench).data["models"])
    assert (model["model"], model["kind"], model["state"]) == (MODEL, "hosted", "unused")
