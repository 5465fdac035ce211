"""Every documented refusal is one of our errors, says what to do, and says whether trying again can help."""

from __future__ import annotations

import pytest

from tasks.core.errors import (
    BadSetting,
    CannotRetry,
    HostedUnavailable,
    InvalidTrainingFile,
    NotAllowed,
    NotFound,
    OutcomeUnknown,
    QuotaExhausted,
    RatchetError,
    RateLimited,
    TrainingRetired,
    UsageError,
    WorthRetrying,
    WrongKey,
)
from tasks.core.hosted_failures import Refusal, failure_of


@pytest.mark.parametrize(
    ("refusal", "error", "next_step"),
    [
        (Refusal(401, "no", "invalid_api_key"), WrongKey, "RATCHET_OPENAI_API_KEY"),
        (Refusal(403, "no", "training_not_available"), TrainingRetired, "--method lora"),
        (Refusal(403, "no", ""), NotAllowed, "right to fine-tune"),
        (Refusal(404, "no", "model_not_found"), NotFound, "RATCHET_HOSTED_BASE_MODEL"),
        (Refusal(400, "no", "model_not_found", "model"), NotFound, "RATCHET_HOSTED_BASE_MODEL"),
        (Refusal(400, "no", "invalid_file", "training_file"), InvalidTrainingFile, "Mend the labels"),
        (Refusal(400, "no", "invalid_training_file"), InvalidTrainingFile, "Mend the labels"),
        (Refusal(400, "no", "", "suffix"), UsageError, "hosted_* settings"),
        (Refusal(429, "no", "insufficient_quota"), QuotaExhausted, "Add some"),
        (Refusal(400, "no", "billing_hard_limit_reached"), QuotaExhausted, "Add some"),
        (Refusal(429, "no", "rate_limit_exceeded"), RateLimited, "Run again later"),
        (Refusal(500, "no"), HostedUnavailable, "Run again later"),
        (Refusal(503, "no"), HostedUnavailable, "Run again later"),
    ],
)
def test_a_refusal_is_named_and_says_what_to_do(refusal: Refusal, error: type[RatchetError], next_step: str) -> None:
    made = failure_of(refusal, "api.openai.com, asked for a job")
    assert type(made) is error
    assert next_step in made.message
    assert made.message.startswith("api.openai.com, asked for a job")
    assert (made.values["status"], made.values["vendor_message"]) == (refusal.status, "no")


def test_a_wait_the_vendor_asks_for_is_kept() -> None:
    assert failure_of(Refusal(429, "no", wait_seconds=7.0), "x").values["wait_seconds"] == 7.0


@pytest.mark.parametrize("status", [408, 409, 500, 502, 503, 504])
def test_a_server_that_fails_while_creating_leaves_open_whether_it_did(status: int) -> None:
    assert type(failure_of(Refusal(status, "no"), "x", creating=True)) is OutcomeUnknown
    assert type(failure_of(Refusal(status, "no"), "x")) is HostedUnavailable


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429])
def test_a_clear_no_while_creating_means_that_nothing_was(status: int) -> None:
    assert not isinstance(failure_of(Refusal(status, "no"), "x", creating=True), OutcomeUnknown)


def test_only_what_passes_is_worth_retrying() -> None:
    assert issubclass(HostedUnavailable, WorthRetrying)
    for error in (WrongKey, TrainingRetired, NotAllowed, QuotaExhausted, InvalidTrainingFile):
        assert issubclass(error, CannotRetry)
    assert issubclass(WrongKey, BadSetting)
