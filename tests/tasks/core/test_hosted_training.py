"""The machine of a hosted job: what may follow what, and what a row asks for next."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.errors import HostedJobCancelled, HostedJobFailed, IntegrityFailure, TrainingRetired
from tasks.core.hosted_jobs import ACTIVE, EARLY, ENDED, HostedJob, JobError, Pace, RemoteJob
from tasks.core.hosted_training import (
    TRANSITIONS,
    Finished,
    GivenUp,
    Look,
    Reconcile,
    Submit,
    Upload,
    Wait,
    again,
    claimed,
    doubtful,
    found,
    moved,
    next_step,
    not_found,
    nudged,
    observed,
    ours,
    refused,
    state_of,
    unseen,
    uploaded,
    without_files,
)

PACE = Pace()
NEW = HostedJob("default", "t-1", "gpt-4.1-mini", "supervised", 1_000, 0.5, begun_at=100.0, wanted=("sha-t", "sha-v"))
READY = replace(NEW, files={"sha-t": "file-1", "sha-v": "file-2"})
SENT = claimed(READY, "me", 1_000.0)
QUEUED = found(SENT, RemoteJob("ftjob-1", "queued"), 1_001.0)


def told(status: str, job: str = "ftjob-1", **more: object) -> RemoteJob:
    return RemoteJob(job, status, **more)  # type: ignore[arg-type]


def test_files_go_one_after_another_before_the_job() -> None:
    assert next_step(NEW, 0.0, PACE) == Upload("sha-t")
    assert next_step(uploaded(NEW, "sha-t", "file-1"), 0.0, PACE) == Upload("sha-v")
    assert next_step(READY, 0.0, PACE) == Submit()


def test_a_row_is_claimed_once() -> None:
    assert (SENT.state, SENT.owner, SENT.creates, SENT.attempted_at) == ("submitting", "me", 1, 1_000.0)
    assert claimed(SENT, "another", 1_001.0) == SENT
    assert claimed(NEW, "me", 1_000.0) == NEW  # its files are not there yet


@pytest.mark.parametrize("row", [SENT, doubtful(SENT, "me")])
def test_what_may_have_been_created_is_looked_for_and_never_created(row: HostedJob) -> None:
    assert next_step(row, 1_000.0, PACE) == Reconcile()
    assert next_step(row, 1e9, PACE) == Reconcile()


def test_only_a_look_after_the_list_has_settled_proves_that_there_is_no_job() -> None:
    row = doubtful(SENT, "me")
    early = not_found(row, 1_000.0 + PACE.settle_seconds - 1, PACE)
    assert (early.state, early.not_before) == ("unknown", 1_000.0 + PACE.settle_seconds)
    late = not_found(row, 1_000.0 + PACE.settle_seconds, PACE)
    assert next_step(late, 1_000.0 + PACE.settle_seconds, PACE) == Submit()


def test_between_looks_for_it_some_time_passes() -> None:
    row = not_found(doubtful(SENT, "me"), 1_000.0, PACE)
    assert next_step(row, 1_000.0, PACE) == Wait(PACE.settle_seconds / 8)


def test_doubt_and_refusals_of_one_process_leave_the_claim_of_another_alone() -> None:
    assert doubtful(SENT, "another") == SENT
    assert refused(SENT, "another", JobError("c", "m"), retired=False) == SENT


def test_a_refusal_gives_the_claim_back_with_its_reason() -> None:
    row = refused(SENT, "me", JobError("rate_limit_exceeded", "slow down"), retired=False, not_before=1_007.0)
    assert (row.state, row.owner, row.creates) == ("intended", None, 0)
    assert next_step(row, 1_000.0, PACE) == Wait(7.0)
    assert next_step(row, 1_007.0, PACE) == Submit()


def test_a_found_job_is_kept_and_a_second_one_is_not() -> None:
    assert (QUEUED.state, QUEUED.job) == ("queued", "ftjob-1")
    assert found(QUEUED, told("running", "ftjob-2"), 1_002.0) == QUEUED


def test_looks_come_slower_and_slower_and_a_change_of_state_begins_anew() -> None:
    assert next_step(QUEUED, 1_001.0, PACE) == Wait(5.0)
    once = observed(QUEUED, told("queued"), 1_006.0)
    assert next_step(once, 1_006.0, PACE) == Wait(7.5)
    assert next_step(observed(once, told("running"), 1_014.0), 1_014.0, PACE) == Wait(5.0)
    assert next_step(unseen(once, 1_014.0), 1_014.0, PACE) == Wait(11.25)


def test_a_webhook_ends_the_wait_and_the_same_one_again_does_nothing() -> None:
    woken = nudged(QUEUED, "wh-1", 1_002.0)
    assert next_step(woken, 1_002.0, PACE) == Look()
    looked = observed(woken, told("queued"), 1_002.5)
    assert isinstance(next_step(looked, 1_003.0, PACE), Wait)
    assert nudged(looked, "wh-1", 1_004.0) == looked


def test_a_success_counts_once_the_model_has_a_name() -> None:
    assert observed(QUEUED, told("succeeded"), 1_010.0).state == "running"
    done = observed(QUEUED, told("succeeded", model="ft:x", trained_tokens=900), 1_010.0)
    assert (done.state, done.model, done.trained_tokens) == ("succeeded", "ft:x", 900)
    assert next_step(done, 0.0, PACE) == Finished()


@pytest.mark.parametrize(
    ("row", "error", "says"),
    [
        (
            observed(QUEUED, told("failed", error=JobError("bad", "no", "training_file")), 2.0),
            HostedJobFailed,
            "bad: no",
        ),
        (observed(QUEUED, told("failed"), 2.0), HostedJobFailed, "did not say why"),
        (observed(QUEUED, told("cancelled"), 2.0), HostedJobCancelled, "--force"),
        (refused(SENT, "me", JobError("training_not_available", "No more."), retired=True), TrainingRetired, "lora"),
    ],
)
def test_an_end_without_a_model_is_an_error_that_says_what_to_do(
    row: HostedJob, error: type[Exception], says: str
) -> None:
    step = next_step(row, 0.0, PACE)
    assert isinstance(step, GivenUp)
    assert type(step.error) is error
    assert says in step.error.message


def test_what_failed_keeps_the_vendors_code_message_and_param() -> None:
    row = observed(QUEUED, told("failed", error=JobError("bad", "no", "training_file")), 2.0)
    step = next_step(row, 0.0, PACE)
    assert isinstance(step, GivenUp)
    values = step.error.values
    assert (values["vendor_code"], values["vendor_message"], values["param"]) == ("bad", "no", "training_file")


def test_a_word_nobody_documented_is_looked_at_again() -> None:
    assert state_of(told("thinking")) == "running"
    assert state_of(told("paused")) == "paused"


def test_another_attempt_has_another_mark_and_remembers_what_was_spent() -> None:
    failed = observed(QUEUED, told("failed"), 2.0)
    second = again(failed, replace(NEW, begun_at=9_000.0), spent_usd=0.5)
    assert (second.state, second.attempt, second.job, second.spent_usd) == ("intended", 2, None, 0.5)
    assert (failed.mark, second.mark) == ("default.t-1.1", "default.t-1.2")
    assert second.files == READY.files  # not uploaded twice


def test_files_that_are_gone_are_uploaded_again() -> None:
    assert next_step(without_files(READY, ["file-2"]), 0.0, PACE) == Upload("sha-v")


def test_jobs_are_ours_by_the_mark_and_the_one_furthest_on_is_kept() -> None:
    listed = [
        told("queued", "late", mark=SENT.mark, created_at=1_002.0),
        told("running", "first", mark=SENT.mark, created_at=1_001.0),
        told("running", "theirs", mark="default.t-2.1"),
        told("failed", "dead", mark=SENT.mark),
    ]
    assert [job.id for job in ours(SENT, listed)] == ["first", "late", "dead"]


def test_where_metadata_is_not_kept_our_file_and_the_time_tell() -> None:
    listed = [
        told("queued", "ours", training_file="file-1", created_at=1_001.0),
        told("queued", "old", training_file="file-1", created_at=1.0),
        told("queued", "other", training_file="file-9", created_at=1_001.0),
    ]
    assert [job.id for job in ours(SENT, listed)] == ["ours"]


def test_a_step_the_machine_does_not_have_is_refused() -> None:
    done = observed(QUEUED, told("succeeded", model="ft:x"), 2.0)
    with pytest.raises(IntegrityFailure, match="succeeded and cannot become running"):
        moved(done, "running")


def test_every_state_has_its_transitions_and_success_has_none() -> None:
    assert TRANSITIONS.keys() == EARLY | ACTIVE | ENDED
    assert TRANSITIONS["succeeded"] == frozenset()
    assert all("submitting" not in TRANSITIONS[state] for state in ("submitting", "unknown", *ACTIVE))


STATUSES = st.sampled_from(
    ["validating_files", "queued", "running", "paused", "succeeded", "failed", "cancelled", "new"]
)


@given(st.lists(st.tuples(STATUSES, st.booleans()), max_size=12))
def test_after_any_answers_a_job_that_has_ended_stays_as_it_is(answers: list[tuple[str, bool]]) -> None:
    row, ended = QUEUED, None
    for at, (status, woken) in enumerate(answers):
        row = nudged(row, f"wh-{at}", float(at)) if woken else row
        row = observed(row, told(status, model="ft:x"), float(at))
        if ended is None and row.state in ENDED:
            ended = row.state
        assert ended is None or row.state == ended
        assert (row.job, row.creates) == ("ftjob-1", 1)
