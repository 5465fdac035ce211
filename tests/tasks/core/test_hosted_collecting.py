from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tasks.core.errors import HostedJobAhead
from tasks.core.hosted_collecting import ahead_of, collected_sentence, is_owed, needs_rows, owed, require_first
from tasks.core.hosted_jobs import AT_WORK, EARLY, ENDED, HostedJob

ROW = HostedJob("default", "t-1", "gpt", "supervised", 1_000, 0.5, begun_at=100.0, wanted=("sha",))


def row(intent: str, state: str, **more: Any) -> HostedJob:
    return replace(ROW, intent=intent, state=state, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("state", sorted(AT_WORK | {"succeeded"}))
def test_a_job_that_is_paid_or_may_be_is_owed_a_look(state: str) -> None:
    assert is_owed(row("t-1", state))


@pytest.mark.parametrize("state", sorted(ENDED - {"succeeded"}))
def test_a_job_that_ended_without_a_model_is_owed_nothing(state: str) -> None:
    assert not is_owed(row("t-1", state, creates=1))


@pytest.mark.parametrize("state", sorted(EARLY - AT_WORK))
def test_a_row_whose_create_nobody_answered_may_yet_have_a_job(state: str) -> None:
    assert not is_owed(row("t-1", state))
    assert is_owed(row("t-1", state, creates=1))


def test_rows_are_kept_until_it_is_known_that_no_model_will_come() -> None:
    assert [needs_rows(None, running=running) for running in (True, False)] == [True, False]
    assert [needs_rows(row("t-1", "uploading"), running=running) for running in (True, False)] == [True, False]
    assert needs_rows(row("t-1", "intended", creates=1), running=False)
    assert all(needs_rows(row("t-1", state), running=False) for state in AT_WORK | {"succeeded"})
    assert not any(needs_rows(row("t-1", state), running=True) for state in ENDED - {"succeeded"})


def test_what_has_a_model_is_collected_before_what_is_at_work_and_the_oldest_first() -> None:
    rows = [
        row("late", "intended", creates=1, begun_at=1.0),
        row("new", "running", begun_at=4.0),
        row("old", "paused", begun_at=2.0),
        row("done", "succeeded", begun_at=5.0),
        row("known", "succeeded", begun_at=0.0),
        row("other", "running", method="dpo"),
    ]
    assert [one.intent for one in owed(rows, "supervised", {"known"})] == ["done", "old", "new", "late"]
    assert [one.intent for one in owed(rows, "dpo", {"known"})] == ["other"]


@pytest.mark.parametrize("state", sorted(AT_WORK))
def test_nothing_is_paid_for_while_another_job_of_its_method_is_at_work(state: str) -> None:
    rival = row("t-2", state, job="ftjob-2")
    assert ahead_of(ROW, [rival], since=0.0) == rival
    assert ahead_of(ROW, [replace(rival, method="dpo")], since=0.0) is None
    with pytest.raises(HostedJobAhead, match=f"Hosted job ftjob-2 is {state}, and is collected before") as ahead:
        require_first(ROW, [rival], 0.0)
    assert ahead.value.values == {"intent": "t-2"}


def test_a_job_that_has_made_a_model_since_the_rows_were_read_comes_first() -> None:
    rival = row("t-2", "succeeded", polled_at=50.0)
    assert ahead_of(ROW, [rival], since=49.0) == rival
    assert ahead_of(ROW, [rival], since=50.0) is None


def test_what_was_asked_for_beside_others_waits_for_nobody_and_nobody_for_it() -> None:
    rival = row("t-2", "running")
    assert ahead_of(replace(ROW, beside=True), [rival], since=0.0) is None
    assert ahead_of(ROW, [replace(rival, beside=True)], since=0.0) is None


def test_a_job_that_is_at_work_already_is_stopped_by_no_other() -> None:
    assert ahead_of(row("t-1", "unknown"), [row("t-2", "running")], since=0.0) is None


def test_the_line_says_where_the_documents_are_by_now() -> None:
    told = collected_sentence("ftjob-1", "8 labels", new="new labels: 0", then=2, now=3)
    assert "on 8 labels and snapshot 2" in told
    assert told.endswith("new labels: 0. The documents are at snapshot 3 now.")
