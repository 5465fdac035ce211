"""Nudges, cancelling, deleting files, and keeping what a dying model says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from evaluation_fakes import golden_labels, manifest, perfect
from hosted_vendor import Clock
from hosted_world import INTENT, World

from infra.adapters.folder_artifacts import FolderArtifacts
from tasks.core.answers import Answer
from tasks.core.errors import (
    HostedJobCancelled,
    NotAllowed,
    NotFound,
    OutcomeUnknown,
    Stopped,
    UsageError,
)
from tasks.core.hosted_jobs import HostedJob
from tasks.core.releases import ModelRef
from tasks.core.webhook_signatures import signature
from tasks.hosted_aftercare import cancel, delete_files, nudge, save_golden_answers
from tasks.hosted_following import tune

SECRET = "plain secret"


@pytest.fixture
def world() -> World:
    return World()


def begun(world: World, *, until: str) -> HostedJob:
    """A run that is stopped when its row first says `until`."""

    def wait(seconds: float) -> None:
        row = world.jobs.job("default", INTENT)
        if row is not None and row.state == until:
            raise Stopped("enough")
        world.clock.wait(seconds)

    with pytest.raises(Stopped):
        tune(world.bench(wait=wait), INTENT, world.training)
    row = world.jobs.job("default", INTENT)
    assert row is not None
    return row


def webhook(job: str, *, kind: str = "fine_tuning.job.succeeded", name: str = "wh-1", at: float = 0.0) -> tuple:  # type: ignore[type-arg]
    body = json.dumps({"object": "event", "id": "evt_1", "type": kind, "data": {"id": job}}).encode()
    stamp = str(int(at or Clock().now))
    signed = {
        "webhook-id": name,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{signature(SECRET, name, stamp, body)}",
    }
    return signed, body


# ── webhooks ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_webhook_shortens_the_wait_for_what_has_ended(world: World) -> None:
    world.pace = replace(world.pace, first_poll_seconds=3_000.0, longest_poll_seconds=3_000.0)
    row = begun(world, until="validating_files")
    world.clock.wait(100.0)  # it has succeeded by now
    signed, body = webhook(row.job or "", at=world.clock())
    assert nudge(world.jobs, SECRET, signed, body, world.clock()) is not None
    before = world.clock()
    assert tune(world.bench(), INTENT, world.training).state == "succeeded"
    assert world.clock() - before < 10.0


def test_the_same_webhook_twice_leads_to_one_look(world: World) -> None:
    row = begun(world, until="validating_files")
    signed, body = webhook(row.job or "", at=world.clock())
    first = nudge(world.jobs, SECRET, signed, body, world.clock())
    world.clock.wait(1.0)
    assert nudge(world.jobs, SECRET, signed, body, world.clock()) == first


def test_a_webhook_is_not_believed_about_how_the_job_is(world: World) -> None:
    row = begun(world, until="validating_files")
    signed, body = webhook(row.job or "", kind="fine_tuning.job.failed", at=world.clock())
    nudged = nudge(world.jobs, SECRET, signed, body, world.clock())
    assert nudged is not None
    assert nudged.state == "validating_files"
    assert tune(world.bench(), INTENT, world.training).state == "succeeded"


def test_webhooks_about_other_things_change_nothing(world: World) -> None:
    row = begun(world, until="queued")
    for job, kind in (("ftjob-99", "fine_tuning.job.succeeded"), (row.job or "", "batch.completed")):
        signed, body = webhook(job, kind=kind, at=world.clock())
        assert nudge(world.jobs, SECRET, signed, body, world.clock()) is None
    assert world.jobs.job("default", INTENT) == row


def test_a_forged_webhook_is_refused_and_changes_nothing(world: World) -> None:
    row = begun(world, until="queued")
    signed, body = webhook(row.job or "", at=world.clock())
    with pytest.raises(NotAllowed):
        nudge(world.jobs, "another secret", signed, body, world.clock())
    assert world.jobs.job("default", INTENT) == row


def test_a_signed_body_that_says_nothing_is_refused(world: World) -> None:
    stamp = str(int(world.clock()))
    signed = {
        "webhook-id": "w",
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{signature(SECRET, 'w', stamp, b'[]')}",
    }
    with pytest.raises(UsageError, match=r"no type and no data\.id"):
        nudge(world.jobs, SECRET, signed, b"[]", world.clock())


# ── cancelling ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("state", ["validating_files", "queued", "running"])
def test_a_job_is_cancelled_at_the_vendor_too(world: World, state: str) -> None:
    begun(world, until=state)
    assert cancel(world.bench(), INTENT).state == "cancelled"
    assert world.vendor.made[0].status(world.clock()) == "cancelled"
    with pytest.raises(HostedJobCancelled):
        tune(world.bench(), INTENT, world.training)


def test_cancelling_what_has_succeeded_changes_nothing(world: World) -> None:
    done = tune(world.bench(), INTENT, world.training)
    assert cancel(world.bench(), INTENT) == done


def test_a_job_that_succeeded_before_the_cancel_arrived_is_a_success(world: World) -> None:
    begun(world, until="running")
    world.clock.wait(1_000.0)
    assert cancel(world.bench(), INTENT).state == "succeeded"


def test_while_nobody_knows_whether_there_is_a_job_it_cannot_be_cancelled_and_then_it_can(world: World) -> None:
    world.vendor.faults, world.vendor.list_lag = {"create": ["lost-after"]}, 6.0
    begun(world, until="unknown")
    with pytest.raises(OutcomeUnknown, match="Cancel again then"):
        cancel(world.bench(), INTENT)
    world.clock.wait(6.0)
    assert cancel(world.bench(), INTENT).state == "cancelled"
    assert world.vendor.paid == []


def test_a_doubtful_job_that_was_never_created_is_cancelled_for_good(world: World) -> None:
    world.vendor.faults = {"create": ["lost-before"]}
    begun(world, until="unknown")
    world.clock.wait(world.pace.settle_seconds)
    assert cancel(world.bench(), INTENT).state == "cancelled"
    assert world.vendor.made == []


def test_a_job_the_vendor_lost_can_be_given_up(world: World) -> None:
    begun(world, until="queued")
    world.vendor.made.clear()
    assert cancel(world.bench(), INTENT).state == "cancelled"


def test_cancelling_what_never_was_says_so(world: World) -> None:
    with pytest.raises(NotFound, match="ratchet hosted jobs"):
        cancel(world.bench(), "t-9")


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_files_are_deleted_when_asked_for_and_the_row_forgets_them(world: World) -> None:
    tune(world.bench(), INTENT, world.training)
    assert delete_files(world.bench(), INTENT) == ("file-1",)
    assert world.vendor.files == {}
    assert delete_files(world.bench(), INTENT) == ()


def test_files_that_a_job_still_needs_stay(world: World) -> None:
    begun(world, until="queued")
    with pytest.raises(UsageError, match="needs its files"):
        delete_files(world.bench(), INTENT)
    assert len(world.vendor.files) == 1


def test_files_another_job_of_the_same_rows_needs_stay(world: World) -> None:
    tune(world.bench(), "t-0", world.training)
    begun(world, until="queued")
    assert delete_files(world.bench(), "t-0") == ()
    assert len(world.vendor.files) == 1


# ── a dying model ────────────────────────────────────────────────────────────────────────────────────────────────────

LABELS = golden_labels(3, 1)


def hosted_release(model: str):  # type: ignore[no-untyped-def]
    return manifest().model_copy(update={"model": ModelRef(kind="hosted", base=model, base_digest="")})


def answers(questions: list[str]) -> list[Answer]:
    by_question = {label.question: perfect(label) for label in LABELS}
    return [by_question[question] for question in questions]


def test_golden_answers_are_kept_as_an_artifact_that_the_job_names(world: World, tmp_path: Path) -> None:
    job = tune(world.bench(), INTENT, world.training)
    store, release = FolderArtifacts(tmp_path / "store"), hosted_release(job.model or "")
    digest = save_golden_answers(world.jobs, release, LABELS, answers, store, tmp_path / "work")  # type: ignore[arg-type]
    lines = [json.loads(line) for line in (store.path(digest) / "answers.jsonl").read_text().splitlines()]
    assert [line["label"] for line in lines] == sorted(label.id for label in LABELS)
    assert lines[0]["answer"]["text"] == perfect(LABELS[0]).text
    assert json.loads((store.path(digest) / "manifest.json").read_text())["release"] == release.id
    kept = world.jobs.job("default", INTENT)
    assert kept is not None
    assert kept.golden_answers == digest


def test_the_same_answers_are_the_same_artifact(world: World, tmp_path: Path) -> None:
    store, release = FolderArtifacts(tmp_path / "store"), hosted_release("ft:x")
    first, second = (
        save_golden_answers(world.jobs, release, labels, answers, store, tmp_path / "work")  # type: ignore[arg-type]
        for labels in (LABELS, LABELS[::-1])
    )
    assert first == second


def test_without_a_golden_set_there_is_nothing_to_keep(world: World, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no golden set"):
        save_golden_answers(world.jobs, hosted_release("ft:x"), (), answers, FolderArtifacts(tmp_path), tmp_path / "w")  # type: ignore[arg-type]
