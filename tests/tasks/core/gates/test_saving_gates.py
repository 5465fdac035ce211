"""A new prompt or setting that is cheaper or faster by a tenth is worth having."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from evaluation_fakes import QUICK, declines, golden_labels, perfect

from tasks.core.answers import Answer
from tasks.core.gate import Gate
from tasks.core.gates.saving import cheaper_gate, faster_gate
from tasks.core.labels import Label
from tasks.core.pace import NOT_REHEARSED, Rehearsal, Rehearsed
from tasks.core.policy import Policy
from tasks.core.scoring import Scored, ScoreSheet
from tasks.core.stats import sign_test

LABELS = golden_labels(600)
PRICED = QUICK.model_copy(
    update={
        "pace": QUICK.pace.model_copy(
            update={"usd_per_million_prompt_tokens": 0.025, "usd_per_million_completion_tokens": 0.25}
        )
    }
)
Tokens = Callable[[int], tuple[int, int]]


def costing(tokens: Tokens, said: Callable[[Label], Answer] = perfect, n: int = 60) -> ScoreSheet:
    """tokens: number of a question → tokens read and written."""
    questions = []
    for number, label in enumerate(LABELS[:n]):
        read, written = tokens(number)
        answer = replace(said(label), prompt_tokens=read, completion_tokens=written)
        questions.append(Scored(label, answer, {}))
    return ScoreSheet("r", tuple(questions))


def cheaper(now: Tokens, then: Tokens = lambda n: (1000, 20), policy: Policy = QUICK, n: int = 60) -> Gate:
    return cheaper_gate(costing(now, n=n), costing(then, n=n), policy, alpha=0.01)


def test_saving_surely_more_than_a_tenth_of_all_tokens_passes() -> None:
    gate = cheaper(lambda n: (700 + n % 3, 20))
    saved = 1 - sum(720 + n % 3 for n in range(60)) / (60 * 1020)
    assert (gate.name, gate.outcome, gate.value, gate.n) == ("cheaper", "pass", round(saved, 6), 60)
    assert saved - 0.04 < (gate.bound or 0) < saved
    assert gate.bound == round(gate.bound or 0, 6) != round(gate.bound or 0, 5)
    assert gate.reason == f"29.3 % of tokens saved, at least {100 * (gate.bound or 0):.1f} %; 10 % is worth having."


def test_saving_a_tenth_and_no_more_is_not_sure() -> None:
    assert cheaper(lambda n: (898, 20)).outcome == "undecided"
    nothing = cheaper(lambda n: (1000, 20))
    assert (nothing.name, nothing.outcome) == ("cheaper", "undecided")
    assert nothing.reason.endswith("10 % is worth having.")  # no number of questions would show it
    assert cheaper(lambda n: (2000, 20)).outcome == "undecided"


def test_a_saving_that_hangs_on_few_questions_says_how_many_would_decide() -> None:
    gate = cheaper(lambda n: (0 if n < 9 else 1000, 20))
    assert gate.outcome == "undecided"
    assert gate.value == round(1 - (9 * 20 + 51 * 1020) / (60 * 1020), 6)
    assert (gate.value or 0) > 0.10 > (gate.bound or 1)
    [needed] = re.findall(r"about ([\d,]+) such questions would decide it\.", gate.reason)
    assert 60 < int(needed.replace(",", "")) < 1_000
    assert cheaper(lambda n: (0 if n % 60 < 9 else 1000, 20), n=int(needed)).outcome == "pass"
    assert "would decide it" not in cheaper(lambda n: (1000, 20)).reason


def test_many_short_answers_that_shrink_do_not_outweigh_a_few_long_ones_that_explode() -> None:
    """Mean of relative savings: +16 %. What is paid: nearly four times as much."""

    def then(n: int) -> tuple[int, int]:
        return (100, 0) if n % 10 else (1000, 0)

    def now(n: int) -> tuple[int, int]:
        return (50, 0) if n % 10 else (6000, 0)

    gate = cheaper(now, then)
    assert (gate.outcome, gate.value) == ("undecided", round(1 - (54 * 50 + 6 * 6000) / (54 * 100 + 6 * 1000), 6))


def test_where_there_are_prices_money_counts() -> None:
    def fewer_words(n: int) -> tuple[int, int]:
        return 1000, 20 + n % 2

    def wordy(n: int) -> tuple[int, int]:
        return 1000, 120

    assert cheaper(fewer_words, wordy).outcome == "undecided"
    gate = cheaper(fewer_words, wordy, PRICED)
    assert gate.outcome == "pass"
    assert gate.value == round(1 - (1000 + 10 * 20.5) / (1000 + 10 * 120), 6)
    assert "of money saved" in gate.reason


def test_however_small_the_prices_are_the_decision_is_the_same() -> None:
    tiny = {"usd_per_million_prompt_tokens": 1e-9, "usd_per_million_completion_tokens": 0.0}
    priced = QUICK.model_copy(update={"pace": QUICK.pace.model_copy(update=tiny)})
    for read in (700, 850, 880, 950):
        in_tokens = cheaper(lambda n, read=read: (read + 90 * (n % 2), 0), lambda n: (1000, 0))
        in_money = cheaper(lambda n, read=read: (read + 90 * (n % 2), 0), lambda n: (1000, 0), priced)
        assert (in_money.outcome, in_money.value, in_money.bound) == (
            in_tokens.outcome,
            in_tokens.value,
            pytest.approx(in_tokens.bound, abs=1e-6),
        )


def test_declining_saves_nothing() -> None:
    then = costing(lambda n: (1000, 20))
    silent = costing(lambda n: (0, 0), declines)
    assert cheaper_gate(silent, then, QUICK, alpha=0.01).value == 0.0
    assert cheaper_gate(silent, then, QUICK, alpha=0.01).outcome == "undecided"
    assert cheaper_gate(silent, costing(lambda n: (1000, 20), declines), QUICK, alpha=0.01).outcome == "pass"
    dearer = costing(lambda n: (2000, 0), declines)
    assert cheaper_gate(dearer, then, QUICK, alpha=0.01).value == round(1 - 2000 / 1020, 6)


def test_answering_more_costs_what_it_costs() -> None:
    gate = cheaper_gate(costing(lambda n: (700, 20)), costing(lambda n: (0, 1), declines), QUICK, alpha=0.01)
    assert (gate.outcome, gate.value) == ("undecided", 1 - 720)


def test_too_few_questions_or_none_that_cost_anything_are_no_pass() -> None:
    few = cheaper(lambda n: (100, 20), n=9)
    assert few == Gate("cheaper", "undecided", "Cost is known on 9 questions; 10 are needed.", n=9)
    assert cheaper(lambda n: (700 + n % 3, 20), n=10).outcome == "pass"
    free = cheaper(lambda n: (0, 0), lambda n: (0, 0))
    assert (free.outcome, free.reason) == ("undecided", "Cost is known on 0 questions; 10 are needed.")


def test_only_questions_that_both_were_asked_are_counted() -> None:
    then = costing(lambda n: (1000, 20), n=30)
    assert cheaper_gate(costing(lambda n: (700 + n % 3, 20)), then, QUICK, alpha=0.01).n == 30


def test_the_saving_that_is_worth_having_is_the_policys() -> None:
    half = QUICK.model_copy(update={"pace": QUICK.pace.model_copy(update={"saving": 0.5})})
    assert cheaper(lambda n: (700 + n % 3, 20), policy=half).outcome == "undecided"
    assert cheaper(lambda n: (300 + n % 3, 20), policy=half).outcome == "pass"


def test_a_smaller_alpha_takes_more() -> None:
    now, then = costing(lambda n: (600 if n % 4 else 1250, 20)), costing(lambda n: (1000, 20))
    assert cheaper_gate(now, then, QUICK, alpha=0.1).outcome == "pass"
    assert cheaper_gate(now, then, QUICK, alpha=0.0001).outcome == "undecided"


# ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def faster(now: list[float], then: float = 1.0, alpha: float = 0.01) -> Gate:
    candidate = tuple(Rehearsed(f"l-{n}", "said", one) for n, one in enumerate(now))
    baseline = tuple(Rehearsed(f"l-{n}", "said", then) for n in range(len(now)))
    return faster_gate(Rehearsal(candidate, baseline), QUICK, alpha=alpha)


@pytest.mark.parametrize(
    ("quick", "slow", "outcome"), [(7, 0, "pass"), (6, 0, "undecided"), (10, 1, "pass"), (9, 1, "undecided")]
)
def test_surely_more_than_half_of_the_questions_take_a_tenth_less(quick: int, slow: int, outcome: str) -> None:
    gate = faster([0.5] * quick + [1.0] * slow)
    assert (sign_test(quick, slow) <= 0.01) == (outcome == "pass")
    assert (gate.name, gate.outcome, gate.value, gate.n) == ("faster", outcome, 0.5, quick + slow)
    assert gate.bound == round(sign_test(quick, slow), 6)
    assert gate.reason.startswith(f"{quick} of {quick + slow} questions took less time by 10 % or more;")


def test_a_tenth_less_counts_and_less_than_a_tenth_does_not() -> None:
    assert (faster([0.9] * 8).outcome, faster([0.91] * 8).outcome) == ("pass", "undecided")
    assert (faster([3.5] * 8, then=4.0).outcome, faster([3.7] * 8, then=4.0).outcome) == ("pass", "undecided")
    assert (faster([2.0] * 8, then=3.0).value, faster([0.2] * 8, then=0.3).value) == (0.333333, 0.333333)


def test_a_chance_of_exactly_alpha_is_small_enough() -> None:
    assert [faster([0.5] * n, alpha=1 / 2**7).outcome for n in (6, 7)] == ["undecided", "pass"]
    assert "it takes" not in faster([0.5] * 7, alpha=1 / 2**7).reason


def test_a_doubt_says_how_many_questions_it_takes_at_this_alpha() -> None:
    assert "At 0.0100 it takes 7 questions at least (pace.questions)." in faster([0.5] * 6).reason
    assert "it takes" not in faster([0.5] * 7).reason


def test_with_the_default_policy_there_are_enough_questions_to_be_faster() -> None:
    policy = Policy()
    shared = policy.alpha / (len(policy.config_improves) + 2)
    assert faster([0.5] * policy.pace.questions, alpha=shared).outcome == "pass"


def test_nothing_asked_one_at_a_time_is_no_pass() -> None:
    assert faster_gate(NOT_REHEARSED, QUICK, alpha=0.01) == Gate(
        "faster", "undecided", "No question was asked one at a time of both releases."
    )
