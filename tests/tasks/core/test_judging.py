"""Judged metrics as arithmetic, and agreement with people against reference computations."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from math import sqrt
from random import Random
from statistics import NormalDist

import pytest
from evaluation_fakes import declines, golden_label, says
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.core.judging import (
    NO_CLAIM,
    NO_IDEAL_CLAIM,
    Agreement,
    Exhibit,
    agreement_of,
    agreements,
    context_precision,
    context_recall,
    exhibit_of,
    faithfulness,
    gap_between_orders,
    mean_of,
    relevancy,
    settled,
)
from tasks.core.metrics.retrieval import NO_RETRIEVAL
from tasks.core.metrics.score import DECLINED, IS_UNANSWERABLE, JUDGED, Metric, Score, Undefined

LABEL, NOWHERE = golden_label(1), golden_label(2, unanswerable=True)
SAID = says(LABEL, "Pump 1 reaches 1001 bar.")
LOST = Undefined("lost")
Z = NormalDist().inv_cdf(0.95)


# ── one verdict ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_faithfulness_is_the_share_of_claims_that_are_supported() -> None:
    assert faithfulness([True, False, True, False, False]) == 2 / 5
    assert faithfulness([]) == NO_CLAIM


def test_context_recall_is_the_share_of_the_ideal_answers_claims_that_are_found() -> None:
    assert context_recall([True, True, False]) == 2 / 3
    assert context_recall([]) == NO_IDEAL_CLAIM


def test_relevancy_is_the_grade_as_a_share_of_the_best() -> None:
    assert [relevancy(grade) for grade in range(5)] == [0, 1 / 4, 2 / 4, 3 / 4, 1]


@pytest.mark.parametrize(
    ("relevant", "value"),
    [
        ([True, True], (1 / 1 + 2 / 2) / 2),
        ([False, True, True], (1 / 2 + 2 / 3) / 2),
        ([True, False, False, True], (1 / 1 + 2 / 4) / 2),
        ([False, False, True], 1 / 3),
        ([False, False], 0),
        ([], 0),
    ],
)
def test_context_precision_is_average_precision(relevant: list[bool], value: float) -> None:
    assert context_precision(relevant) == pytest.approx(value)


@given(st.lists(st.booleans(), max_size=8))
def test_a_relevant_passage_further_up_never_lowers_precision(relevant: list[bool]) -> None:
    value = context_precision(relevant)
    for n in range(1, len(relevant)):
        if relevant[n] and not relevant[n - 1]:
            swapped = [*relevant[: n - 1], True, False, *relevant[n + 1 :]]
            assert context_precision(swapped) >= value


NOTHING_FOUND, TUNED = replace(SAID, contexts=()), replace(SAID, contexts=(), pattern="tuned")


@pytest.mark.parametrize(
    ("answer", "known"),
    [
        (SAID, (None, None, None, None)),
        (declines(LABEL), (DECLINED, 0.0, None, None)),
        (NOTHING_FOUND, (0.0, None, 0.0, 0.0)),
        (TUNED, (NO_RETRIEVAL, None, NO_RETRIEVAL, NO_RETRIEVAL)),
    ],
    ids=["an answer", "declined", "nothing found", "shows no passages"],
)
def test_what_needs_no_judge_is_settled_without_one(answer, known: tuple[Score | None, ...]) -> None:
    assert tuple(settled(metric, LABEL, answer) for metric in JUDGED) == known


def test_of_a_question_that_no_page_answers_only_faithfulness_is_judged() -> None:
    made_up = says(NOWHERE, "It weighs 7 kg.")
    assert [settled(metric, NOWHERE, made_up) for metric in JUDGED] == [None, *[IS_UNANSWERABLE] * 3]
    assert settled("judged_faithfulness", NOWHERE, declines(NOWHERE)) == DECLINED


def test_a_judge_is_not_told_whose_answer_it_is() -> None:
    other = replace(SAID, release="r-other", snapshot=9, confidence=0.1)
    assert exhibit_of(LABEL, SAID) == exhibit_of(LABEL, other)
    assert exhibit_of(LABEL, SAID) == Exhibit(
        "What pressure does pump 1 reach?",
        "Pump 1 reaches 1001 bar. [1]",
        ("Pump 1 > Limits\nPump 1 stands on a plinth. Pump 1 reaches 1001 bar.", "Oils\nUse grade 46."),
        "Pump 1 reaches 1001 bar.",
    )


# ── repeats ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_repeats_count_as_their_mean() -> None:
    assert mean_of([1.0, 0.5, 0.0]) == (1.0 + 0.5 + 0.0) / 3
    assert mean_of([0.25]) == 0.25


def test_one_undefined_repeat_makes_the_whole_undefined_and_is_named() -> None:
    assert mean_of([1.0, LOST, 0.0]) == Undefined("lost (repeat 2 of 3)")


def test_repeats_that_agree_on_why_there_is_no_value_keep_the_reason_as_it_is() -> None:
    assert mean_of([NO_CLAIM]) == mean_of([NO_CLAIM, NO_CLAIM]) == NO_CLAIM
    assert mean_of([NO_CLAIM, LOST]) == Undefined(f"{NO_CLAIM.reason} (repeat 1 of 2)")


def test_the_order_gap_is_between_the_means_of_even_and_odd_repeats() -> None:
    assert gap_between_orders([1.0, 0.5, 0.8, 0.1]) == pytest.approx(abs((1.0 + 0.8) / 2 - (0.5 + 0.1) / 2))
    assert gap_between_orders([0.2, 0.5]) == pytest.approx(0.3)


@pytest.mark.parametrize("repeats", [[], [1.0], [1.0, LOST], [LOST, 0.5]])
def test_without_both_orders_there_is_no_gap(repeats: list[Score]) -> None:
    assert gap_between_orders(repeats) is None


# ── agreement ────────────────────────────────────────────────────────────────────────────────────────────────────────


def pairs(table: Sequence[Sequence[int]]) -> list[tuple[float, Score]]:
    """table[people's word][judge's word], words: no, yes, and, of the judge alone, no value."""
    its: list[Score] = [0.0, 1.0, LOST]
    return [
        (float(said), its[word])
        for said, row in enumerate(table)
        for word, times in enumerate(row)
        for _ in range(times)
    ]


def kappa_as_scikit_learn_computes_it(table: Sequence[Sequence[int]]) -> float:
    """cohen_kappa_score without weights: 1 - observed disagreements / expected ones."""
    confusion = [*table, [0, 0, 0]]
    n = sum(map(sum, confusion))
    people, judge = [sum(row) for row in confusion], [sum(column) for column in zip(*confusion, strict=True)]
    apart = [(i, j) for i, j in product(range(3), repeat=2) if i != j]
    expected = sum(people[i] * judge[j] / n for i, j in apart)
    return 1 - sum(confusion[i][j] for i, j in apart) / expected


def test_kappa_by_hand() -> None:
    found = agreement_of(pairs([[15, 10, 0], [5, 20, 0]]), alpha=0.05)
    assert found is not None
    chance = (25 / 50) * (20 / 50) + (25 / 50) * (30 / 50)
    assert found.kappa == pytest.approx(((15 + 20) / 50 - chance) / (1 - chance)) == pytest.approx(0.4)
    assert found.n == 50


ROW = st.lists(st.integers(0, 30), min_size=3, max_size=3)


@given(st.tuples(ROW.filter(sum), ROW.filter(sum)))
@example(([0, 0, 1], [0, 0, 6]))  # rounding
def test_kappa_is_what_scikit_learn_computes(table: tuple[list[int], list[int]]) -> None:
    found = agreement_of(pairs(table), alpha=0.05)
    assert found is not None
    assert found.kappa == pytest.approx(kappa_as_scikit_learn_computes_it(table), abs=1e-12)
    assert -1 <= found.lower <= found.kappa <= 1


def test_a_judge_that_gives_no_value_disagrees() -> None:
    silent, wrong = (
        agreement_of(pairs(table), alpha=0.05) for table in ([[20, 0, 4], [0, 20, 4]], [[20, 4, 0], [4, 20, 0]])
    )
    assert silent is not None
    assert wrong is not None
    assert silent.n == wrong.n == 48
    assert silent.kappa == pytest.approx((40 / 48 - 20 / 48) / (1 - 20 / 48))  # by chance: ½·20/48 + ½·20/48


def test_a_value_counts_as_yes_from_one_half_on() -> None:
    halves: list[tuple[float, Score]] = [(0.5, 1.0), (0.49, 0.0), (1.0, 0.5), (0.0, 0.49)]
    found = agreement_of(halves * 10, alpha=0.05)
    assert found is not None
    assert found.kappa == 1.0


def test_people_who_always_say_the_same_show_nothing_about_the_judge() -> None:
    assert agreement_of([(1.0, 1.0)] * 500, alpha=0.05) == Agreement(kappa=0.0, lower=-1.0, n=500)
    assert agreement_of([], alpha=0.05) is None


def test_a_judge_that_always_says_the_same_agrees_by_chance_alone() -> None:
    found = agreement_of(pairs([[0, 40, 0], [0, 60, 0]]), alpha=0.05)
    assert found is not None
    assert found.kappa == pytest.approx(0.0)
    assert found.lower < 0


def test_thirty_of_thirty_still_leave_room_for_doubt() -> None:
    """Kappa at Wilson's lower bound of 30 of 30: n / (n + z²)."""
    found = agreement_of(pairs([[15, 0, 0], [0, 15, 0]]), alpha=0.05)
    assert found is not None
    assert (found.kappa, found.n) == (1.0, 30)
    assert found.lower == pytest.approx((30 / (30 + Z**2) - 1 / 2) / (1 - 1 / 2))


@pytest.mark.parametrize(
    ("n", "yes", "right_of_yes", "right_of_no", "silent"),
    [
        (30, 0.5, 0.95, 0.95, 0.0),
        (30, 0.5, 0.9, 0.8, 0.0),
        (50, 0.9, 0.95, 0.95, 0.0),
        (100, 0.7, 0.9, 0.8, 0.1),
        (100, 0.5, 0.5, 0.5, 0.0),  # agrees by chance alone
    ],
)
def test_the_lower_bound_is_above_the_truth_no_more_often_than_alpha(
    n: int, yes: float, right_of_yes: float, right_of_no: float, silent: float
) -> None:
    chances = {
        (1, 1): yes * (1 - silent) * right_of_yes,
        (1, 0): yes * (1 - silent) * (1 - right_of_yes),
        (0, 0): (1 - yes) * (1 - silent) * right_of_no,
        (0, 1): (1 - yes) * (1 - silent) * (1 - right_of_no),
        (1, 2): yes * silent,
        (0, 2): (1 - yes) * silent,
    }
    its_yes, its_no = chances[1, 1] + chances[0, 1], chances[0, 0] + chances[1, 0]
    chance = yes * its_yes + (1 - yes) * its_no
    truth = (chances[1, 1] + chances[0, 0] - chance) / (1 - chance)
    times, rng = 1_500, Random(20_260_101)
    drawn = Counter(
        tuple(sorted(Counter(rng.choices(list(chances), list(chances.values()), k=n)).items())) for _ in range(times)
    )
    above = 0
    for cells, often in drawn.items():
        table = [[0, 0, 0], [0, 0, 0]]
        for (said, word), count in cells:
            table[said][word] = count
        found = agreement_of(pairs(table), alpha=0.05)
        assert found is not None
        above += often * (found.lower > truth + 1e-9)
    assert above / times <= 0.05 + 2 * sqrt(0.05 * 0.95 / times)


def test_each_metric_has_an_agreement_of_its_own() -> None:
    said: list[tuple[Metric, float, Score]] = [
        ("judged_faithfulness", v, s) for v, s in pairs([[20, 0, 0], [0, 20, 0]])
    ]
    said += [("judged_relevancy", v, s) for v, s in pairs([[10, 10, 0], [10, 10, 0]])]
    found = agreements(said, alpha=0.05)
    assert {metric: (one.kappa, one.n) for metric, one in found.items()} == {
        "judged_faithfulness": (1.0, 40),
        "judged_relevancy": (0.0, 40),
    }
