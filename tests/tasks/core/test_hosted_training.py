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
    ending,
    found,
    moved,
    next_step,
    not_found,
    nudged,
    observed,
    ours,
    poll_delay,
    refused,
    state_of,
    unseen,
    uploaded,
    uploading,
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


def test_nothing_is_created_before_the_time_the_vendor_named() -> None:
    told_to_wait = replace(READY, not_before=1_007.0, error=JobError("rate_limit_exceeded", "slow down"))
    assert claimed(told_to_wait, "me", 1_006.9) == told_to_wait
    sent = claimed(told_to_wait, "me", 1_007.0)
    assert (sent.state, sent.attempted_at, sent.error) == ("submitting", 1_007.0, None)


def test_a_row_says_that_it_uploads_until_it_has_been_claimed() -> None:
    row = uploading(READY)
    assert (row.state, uploading(row)) == ("uploading", row)
    sent = claimed(row, "me", 1_000.0)
    assert (sent.state, sent.owner, sent.creates) == ("submitting", "me", 1)
    assert uploading(sent) == sent


def test_the_first_id_of_a_file_stays() -> None:
    assert uploaded(READY, "sha-t", "file-9") == READY


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


def test_looks_for_it_are_never_closer_than_the_first_poll_and_never_go_past_the_proof() -> None:
    row, pace = doubtful(SENT, "me"), Pace(settle_seconds=8.0, first_poll_seconds=5.0)
    assert not_found(row, 1_001.0, pace).not_before == 1_001.0 + 5.0
    assert not_found(row, 1_004.0, pace).not_before == 1_000.0 + 8.0


@pytest.mark.parametrize("row", [READY, QUEUED])
def test_a_look_that_finds_nothing_changes_no_row_that_was_not_in_doubt(row: HostedJob) -> None:
    assert not_found(row, 1e9, PACE) == row


def test_what_is_proved_not_to_exist_belongs_to_nobody_and_is_created_at_once() -> None:
    late = not_found(replace(SENT, not_before=1e6), 1_000.0 + PACE.settle_seconds, PACE)
    assert (late.state, late.owner, late.not_before) == ("intended", None, 0.0)


def test_doubt_and_refusals_of_one_process_leave_the_claim_of_another_alone() -> None:
    assert doubtful(SENT, "another") == SENT
    assert refused(SENT, "another", JobError("c", "m"), retired=False) == SENT


def test_a_refusal_that_comes_after_a_doubt_settles_nothing() -> None:
    row = doubtful(SENT, "me")
    assert refused(row, "me", JobError("c", "m"), retired=False) == row


def test_a_refusal_gives_the_claim_back_with_its_reason() -> None:
    row = refused(SENT, "me", JobError("rate_limit_exceeded", "slow down"), retired=False, not_before=1_007.0)
    assert (row.state, row.owner, row.creates) == ("intended", None, 0)
    assert next_step(row, 1_000.0, PACE) == Wait(7.0)
    assert next_step(row, 1_007.0, PACE) == Submit()


def test_a_found_job_is_kept_and_a_second_one_is_not() -> None:
    assert (QUEUED.state, QUEUED.job) == ("queued", "ftjob-1")
    assert found(QUEUED, told("running", "ftjob-2"), 1_002.0) == QUEUED


def test_a_job_that_is_found_is_followed_from_then_on() -> None:
    row = found(replace(doubtful(SENT, "me"), not_before=1e6, polls=7), told("queued"), 1_200.0)
    assert (row.job, row.owner, row.not_before) == ("ftjob-1", None, 0.0)
    assert (row.polls, row.polled_at) == (0, 1_200.0)
    assert found(QUEUED, told("running"), 1_002.0).state == "running"


def test_what_has_ended_is_not_found_again() -> None:
    done = observed(QUEUED, told("succeeded", model="ft:x"), 1_010.0)
    assert found(done, told("failed"), 1_011.0) == done


def test_news_of_another_job_or_for_a_row_without_one_is_no_news() -> None:
    assert observed(QUEUED, told("succeeded", "ftjob-2", model="ft:x"), 1_010.0) == QUEUED
    assert observed(SENT, told("queued"), 1_010.0) == SENT
    assert unseen(SENT, 1_010.0) == SENT


def test_looks_come_slower_and_slower_and_a_change_of_state_begins_anew() -> None:
    assert next_step(QUEUED, 1_001.0, PACE) == Wait(5.0)
    assert next_step(QUEUED, 1_006.0, PACE) == Look()
    once = observed(QUEUED, told("queued"), 1_006.0)
    assert next_step(once, 1_006.0, PACE) == Wait(7.5)
    assert next_step(observed(once, told("running"), 1_014.0), 1_014.0, PACE) == Wait(5.0)
    assert next_step(unseen(once, 1_014.0), 1_014.0, PACE) == Wait(11.25)


def test_after_any_number_of_looks_the_next_one_is_no_further_off() -> None:
    assert poll_delay(100_000, PACE) == PACE.longest_poll_seconds


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


def test_what_was_billed_is_kept_when_a_later_look_does_not_say() -> None:
    billed = observed(QUEUED, told("running", trained_tokens=900), 1_010.0)
    assert observed(billed, told("paused"), 1_020.0).trained_tokens == 900


def test_the_last_sixteen_webhooks_are_remembered() -> None:
    row = QUEUED
    for n in range(20):
        row = nudged(row, f"wh-{n}", 1_002.0)
    assert row.webhooks == tuple(f"wh-{n}" for n in range(4, 20))


def test_a_model_has_a_name_once_it_has_succeeded() -> None:
    early = observed(QUEUED, told("running", model="ft:x"), 1_010.0)
    assert (early.state, early.model) == ("running", None)


def test_only_a_failure_has_an_error() -> None:
    warned = observed(QUEUED, told("running", error=JobError("odd", "a word on the way")), 1_010.0)
    assert warned.error is None


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
    assert step.error.values == {
        "job": "ftjob-1",
        "vendor_code": "bad",
        "vendor_message": "no",
        "param": "training_file",
    }
    assert "failed: bad: no (in training_file). No label was consumed." in step.error.message


def test_what_the_vendor_did_not_say_is_not_made_up() -> None:
    error = ending(observed(QUEUED, told("failed"), 2.0))
    assert error.values["vendor_code"] == "unknown"
    assert "failed: unknown: the vendor did not say why. No label was consumed." in error.message


def test_an_end_is_told_with_the_job_or_with_the_vendors_code() -> None:
    assert ending(observed(QUEUED, told("cancelled"), 2.0)).values == {"job": "ftjob-1"}
    closed = refused(claimed(READY, "me", 1_000.0), "me", JobError("training_not_available", "No more."), retired=True)
    assert closed.state == "retired"
    assert ending(closed).values == {"vendor_code": "training_not_available"}


@pytest.mark.parametrize(
    "word", ["validating_files", "queued", "running", "paused", "succeeded", "failed", "cancelled"]
)
def test_a_documented_word_is_a_state(word: str) -> None:
    assert state_of(told(word)) == word


def test_a_word_nobody_documented_is_looked_at_again() -> None:
    assert [state_of(told(word)) for word in ("thinking", "cancelling")] == ["running", "running"]
    assert state_of(told("canceled")) == "cancelled"


def test_another_attempt_has_another_mark_and_remembers_what_was_spent() -> None:
    failed = observed(QUEUED, told("failed"), 2.0)
    second = again(failed, replace(NEW, begun_at=9_000.0), spent_usd=0.5)
    assert (second.state, second.attempt, second.job, second.spent_usd) == ("intended", 2, None, 0.5)
    assert (failed.mark, second.mark) == ("default.t-1.1", "default.t-1.2")
    assert second.files == READY.files  # not uploaded twice


def test_another_attempt_is_of_what_is_asked_for_now_and_keeps_nothing_of_the_last_ones_end() -> None:
    failed = observed(QUEUED, told("failed", error=JobError("bad", "no"), trained_tokens=900), 2.0)
    failed = replace(failed, last_event="ev-1", not_before=1e6)
    fresh = replace(NEW, begun_at=9_000.0, tokens=2_000, cost_usd=0.7, wanted=("sha-t", "sha-w"))
    second = again(failed, fresh, spent_usd=0.5)
    assert (second.begun_at, second.tokens, second.cost_usd, second.wanted) == (9_000.0, 2_000, 0.7, fresh.wanted)
    assert second.files == {"sha-t": "file-1"}
    assert (second.creates, second.attempted_at, second.not_before) == (0, None, 0.0)
    assert (second.error, second.trained_tokens, second.last_event) == (None, None, None)


@pytest.mark.parametrize("state", ["failed", "cancelled", "retired"])
def test_whatever_ended_without_a_model_may_be_tried_again_and_nothing_else(state: str) -> None:
    assert again(replace(QUEUED, state=state), NEW, spent_usd=0.5).state == "intended"  # type: ignore[arg-type]
    for other in ("succeeded", *ACTIVE):
        with pytest.raises(IntegrityFailure, match=f"is {other} and cannot become intended"):
            again(replace(QUEUED, state=other), NEW, spent_usd=0.5)  # type: ignore[arg-type]


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


def test_a_model_is_worth_most_and_what_ended_without_one_least() -> None:
    worth = ["succeeded", "running", "paused", "queued", "validating_files", "failed", "cancelled"]
    listed = [told(status, status, mark=SENT.mark) for status in sorted(worth)]
    assert [job.id for job in ours(SENT, listed)] == worth


def test_of_two_jobs_as_far_on_the_older_one_is_kept_and_of_two_as_old_always_the_same() -> None:
    alike = [told("queued", job, mark=SENT.mark, created_at=at) for job, at in (("a", 3.0), ("c", 2.0), ("b", 2.0))]
    assert [job.id for job in ours(SENT, alike)] == [job.id for job in ours(SENT, alike[::-1])] == ["b", "c", "a"]


def test_a_clock_that_is_five_minutes_off_still_finds_our_job() -> None:
    def listed(at: float) -> list[RemoteJob]:
        return [told("queued", "ours", training_file="file-1", created_at=at)]

    assert (len(ours(SENT, listed(700.0))), len(ours(SENT, listed(699.9)))) == (1, 0)
    begun = replace(READY, begun_at=2_000.0)  # nothing was sent by this catalog
    assert (len(ours(begun, listed(1_700.0))), len(ours(begun, listed(1_699.9)))) == (1, 0)


def test_a_job_with_another_mark_is_not_ours_whatever_its_file() -> None:
    assert ours(SENT, [told("queued", mark="default.t-2.1", training_file="file-1", created_at=1_001.0)]) == []


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
