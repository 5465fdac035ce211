"""What a job costs, said beforehand, and a budget that holds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hosted_vendor import billed_tokens
from hosted_world import rows
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.errors import BadSetting, BudgetExceeded
from tasks.core.hosted_cost import (
    PRICES_RECORDED,
    Estimate,
    Price,
    committed_usd,
    estimate,
    price_of,
    require_budget,
)
from tasks.core.hosted_files import HostedFile, TokenCount, preference_file, supervised_file, tokens_of
from tasks.core.hosted_jobs import HostedJob
from tasks.core.ports import Message, TrainingRow
from tasks.core.preference_rows import PreferenceRow

WORDS = TokenCount(lambda text: len(text.split()), exact=True)
ROW = HostedJob("default", "t-1", "gpt-4.1-mini", "supervised", 1_000, 0.5, begun_at=0.0, wanted=("sha",))
DAY = 24 * 3600.0


def costing(cost_usd: float) -> Estimate:
    return Estimate(1_000_000, Price(cost_usd), exact=True)


def test_an_estimate_is_tokens_times_epochs_times_price() -> None:
    line = '{"messages": [{"role": "user", "content": "one two"}, {"role": "assistant", "content": "three"}]}'
    tokens = (3 + 1 + 2) + (3 + 1 + 1) + 3  # per message: around it, its role, its words; and the reply
    asked = estimate(HostedFile((line,) * 5), "supervised", 4, Price(25.0), WORDS)
    assert (asked.tokens, asked.cost_usd) == (5 * 4 * tokens, 5 * 4 * tokens * 25.0 / 1_000_000)


def test_a_preference_is_billed_for_its_prompt_and_both_answers() -> None:
    file = preference_file([PreferenceRow("l", (Message("user", "a b"),), "c d e", "f")])
    assert tokens_of(file.lines[0], "dpo", WORDS) == (3 + 1 + 2) + (3 + 1 + 3) + (3 + 1 + 1) + 3


@given(st.text(), st.text(min_size=1))
def test_without_a_tokenizer_it_is_never_too_little(question: str, answer: str) -> None:
    file = supervised_file([TrainingRow("l", (Message("user", question),), answer)])
    bound = tokens_of(file.lines[0], "supervised", TokenCount())
    bytes_said = len((question + answer + "user" + "assistant").encode("utf-8", "surrogatepass"))
    assert bound >= bytes_said + 2 * 3 + 3


def test_an_upper_bound_says_that_it_is_one() -> None:
    assert "at most" in estimate(supervised_file(rows()), "supervised", 1, Price(3.0), TokenCount()).sentence
    assert "at most" not in estimate(supervised_file(rows()), "supervised", 1, Price(3.0), WORDS).sentence


def test_the_cookbooks_count_and_ours_agree_on_what_is_billed() -> None:
    import json

    file = supervised_file(rows())
    billed = sum(billed_tokens(json.loads(line), WORDS.count) for line in file.lines)
    assert abs(estimate(file, "supervised", 1, Price(3.0), WORDS).tokens - billed) <= 0.02 * billed


@pytest.mark.parametrize(
    ("base", "price"),
    [
        ("gpt-4.1-mini-2025-04-14", 5.0),
        ("gpt-4.1", 25.0),
        ("gpt-4o-2024-08-06", 25.0),
        ("gpt-4o-mini", 3.0),
        ("ft:gpt-4o-mini-2024-07-18:acme:x:1", 3.0),
    ],
)
def test_the_price_of_a_listed_model_is_known(base: str, price: float) -> None:
    assert price_of(base, None, at_openai=True) == Price(price, PRICES_RECORDED)
    assert price_of(base, 7.0, at_openai=True) == Price(7.0)


def test_an_estimate_says_whose_price_it_is_and_a_listed_one_how_old_and_how_to_set_it() -> None:
    listed = price_of("gpt-4.1-mini", None, at_openai=True)
    said = Estimate(2_000_000, listed, exact=True).sentence
    assert said.startswith("2,000,000 tokens and so $10.00 at $5.00 per million, a list price written down on ")
    assert PRICES_RECORDED.isoformat() in said
    assert said.endswith("set RATCHET_HOSTED_USD_PER_MILLION_TOKENS")
    own = Estimate(2_000_000, price_of("gpt-4.1-mini", 7.0, at_openai=True), exact=True).sentence
    assert own == "2,000,000 tokens and so $14.00 at $7.00 per million, as RATCHET_HOSTED_USD_PER_MILLION_TOKENS says"


def test_who_goes_over_the_budget_is_told_the_price_it_was_counted_with() -> None:
    with pytest.raises(BudgetExceeded, match=r"a list price written down on \d{4}-\d{2}-\d{2} and not looked up"):
        require_budget(Estimate(1_000_000, Price(5.0, PRICES_RECORDED), exact=True), [], 1.0, now=DAY)


@pytest.mark.parametrize(("base", "at_openai"), [("gpt-4.1-nano", True), ("gpt-4o-mini", False), ("gpt-4", True)])
def test_a_price_nobody_said_is_asked_for(base: str, at_openai: bool) -> None:
    with pytest.raises(BadSetting, match="RATCHET_HOSTED_USD_PER_MILLION_TOKENS"):
        price_of(base, None, at_openai=at_openai)
    assert price_of(base, 0.0, at_openai=at_openai) == Price(0.0)


def test_a_budget_is_kept_to_the_cent() -> None:
    require_budget(costing(0.5), [ROW], 1.0, now=DAY)
    with pytest.raises(BudgetExceeded, match=r"\$0.50 of the budget of \$1.00") as raised:
        require_budget(costing(0.51), [ROW], 1.0, now=DAY)
    assert raised.value.values == {"cost_usd": 0.51, "spent_usd": 0.5, "budget_usd": 1.0, "tokens": 1_000_000}


@pytest.mark.parametrize("exact", [True, False])
def test_an_upper_bound_over_the_budget_is_told_how_to_count_exactly(exact: bool) -> None:
    with pytest.raises(BudgetExceeded) as raised:
        require_budget(replace(costing(2.0), exact=exact), [], 1.0, now=DAY)
    assert ("RATCHET_HOSTED_TOKENIZER names a tokenizer.json" in raised.value.message) == (not exact)


def test_what_was_begun_over_30_days_ago_counts_no_more() -> None:
    with pytest.raises(BudgetExceeded):
        require_budget(costing(0.6), [ROW], 1.0, now=30 * DAY - 1)
    require_budget(costing(0.6), [ROW], 1.0, now=30 * DAY)


@pytest.mark.parametrize("state", ["intended", "unknown", "running", "succeeded", "failed"])
def test_whatever_may_be_paid_for_counts(state: str) -> None:
    assert committed_usd(replace(ROW, state=state, creates=1)) == 0.5  # type: ignore[arg-type]


@pytest.mark.parametrize("state", ["cancelled", "failed", "retired"])
def test_what_ended_before_anything_was_created_is_free_again(state: str) -> None:
    assert committed_usd(replace(ROW, state=state)) == 0.0  # type: ignore[arg-type]
    assert committed_usd(replace(ROW, state=state, job="ftjob-1")) == 0.5  # type: ignore[arg-type]


def test_what_earlier_attempts_cost_stays_spent() -> None:
    assert committed_usd(replace(ROW, state="cancelled", spent_usd=0.2)) == 0.2
    assert committed_usd(replace(ROW, state="cancelled", creates=1)) == 0.5
