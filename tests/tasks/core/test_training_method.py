"""Where the next model is trained, and the sentence that says why."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from tasks.core.hosted_cost import Estimate, Price
from tasks.core.training_method import Chosen, Hosted, MethodChoice, MethodFacts, MethodLimits, choose_method

TODAY = date(2026, 9, 1)
VENDOR = Hosted("gpt-4.1-mini", "openai", Estimate(1_000_000, Price(5.0), exact=True), left_usd=20.0)
SLOW = MethodFacts(rows=2_000, hosted=VENDOR, lora_seconds_per_row=3.0)  # 6,000 s here; the limit is 3,600 s
LIMITS = MethodLimits()


def auto(facts: MethodFacts = SLOW, limits: MethodLimits = LIMITS, today: date = TODAY) -> tuple[str, str]:
    choice = choose_method("auto", facts, limits, today)
    return choice.method, choice.reason


@pytest.mark.parametrize(
    ("asked", "name"),
    [("lora", "LoRA"), ("openai", "Hosted"), ("dpo", "DPO"), ("kto", "KTO"), ("openai-dpo", "Hosted DPO")],
)
def test_what_is_asked_for_is_done(asked: Chosen, name: str) -> None:
    choice = choose_method(asked, MethodFacts(0, None), LIMITS, date(2030, 1, 1))
    assert choice == MethodChoice(asked, f"{name}: asked for.")


def test_many_labels_that_would_train_too_long_here_go_to_the_vendor() -> None:
    method, reason = auto()
    assert method == "openai"
    assert "2,000 rows would train about 6,000 s here, over the limit of 3,600 s" in reason


def test_as_many_as_train_fast_enough_here_cost_nothing() -> None:
    method, reason = auto(replace(SLOW, rows=1_200))
    assert method == "lora"
    assert "about 3,600 s here, within 3,600 s" in reason


def test_an_unknown_pace_is_no_reason_to_pay() -> None:
    method, reason = auto(replace(SLOW, lora_seconds_per_row=None))
    assert method == "lora"
    assert "not known yet" in reason


@pytest.mark.parametrize(
    ("here", "there", "limit", "method"),
    [
        (4.0, 1.0, 2.0, "openai"),
        (4.0, None, 2.0, "openai"),
        (4.0, 5.0, 2.0, "lora"),  # slower still
        (4.0, 4.0, 2.0, "lora"),  # no faster
        (None, 1.0, 2.0, "lora"),  # nobody knows how long an answer takes here
        (2.0, 1.0, 2.0, "lora"),
        (4.0, 1.0, None, "lora"),
    ],
)
def test_answers_that_come_too_slowly_here_go_to_a_faster_vendor(
    here: float | None, there: float | None, limit: float | None, method: str
) -> None:
    facts = replace(SLOW, rows=20, lora_answer_seconds=here, hosted=replace(VENDOR, answer_seconds=there))
    assert auto(facts, MethodLimits(answer_seconds=limit))[0] == method


@pytest.mark.parametrize(
    ("facts", "today", "says"),
    [
        (replace(SLOW, hosted=None), TODAY, "no hosted base model"),
        (replace(SLOW, rows=9), TODAY, "9 rows, and a hosted job takes at least 10"),
        (replace(SLOW, hosted=replace(VENDOR, left_usd=4.99)), TODAY, "$4.99 of the budget is left"),
        (SLOW, date(2026, 10, 17), "in 89 days, and a model should serve at least 90"),
        (SLOW, date(2027, 1, 6), "creates no jobs since 2027-01-06"),
    ],
)
def test_a_vendor_that_cannot_or_may_not_is_out_of_the_question(facts: MethodFacts, today: date, says: str) -> None:
    method, reason = auto(facts, today=today)
    assert method == "lora"
    assert says in reason


def test_the_fewest_rows_a_vendor_takes_and_a_price_of_all_that_is_left_are_enough() -> None:
    facts = MethodFacts(rows=10, hosted=replace(VENDOR, left_usd=5.0), lora_seconds_per_row=600.0)
    assert auto(facts)[0] == "openai"


def test_a_model_that_still_serves_90_days_is_long_enough() -> None:
    assert auto(today=date(2026, 10, 16))[0] == "openai"


def test_a_server_nobody_retires_is_never_too_late() -> None:
    own = replace(SLOW, hosted=replace(VENDOR, vendor="other"))
    assert auto(own, today=date(2030, 1, 1))[0] == "openai"
