from math import comb, sqrt
from statistics import NormalDist

import numpy as np
import pytest

from tasks.core.stats import Resampling, holm, p_worse, sign_test, wilson_lower
from tasks.core.stats.p_values import tango

Z = 1.6448536269514722
QUICK = Resampling(resamples=1_000)


def p(values: list[float], size: int = 1, margin: float = 0.0) -> float:
    return p_worse(values, [i // size for i in range(len(values))], margin=margin, how=QUICK)


def test_a_loss_on_every_page_is_hardly_chance() -> None:
    assert p([-1.0] * 12) == pytest.approx(1 / 2**12, abs=1 / 1_000)
    assert p([-1.0] * 12, margin=0.15) < 0.01


def test_no_loss_is_no_surprise() -> None:
    assert p([0.0] * 30) >= 0.5
    assert p([1.0] * 10 + [0.0] * 10) > 0.9


def test_a_gain_makes_the_same_losses_less_surprising() -> None:
    lost = [-1.0] * 8
    assert p([*lost, *[0.0] * 12]) < p([*lost, *[1.0] * 4, *[0.0] * 8]) < p([*lost, *[1.0] * 8, *[0.0] * 4])


def test_a_wider_margin_makes_the_same_losses_less_surprising() -> None:
    values = [-1.0] * 10 + [0.0] * 10
    assert p(values, margin=0.0) < p(values, margin=0.15) < p(values, margin=0.4)


def test_the_more_careful_of_the_two_tests_counts() -> None:
    """Ten of thirty lost: the bootstrap knows the shape. A quarter lost on each of forty: it sees no spread."""
    assert p([-1.0] * 10 + [0.0] * 20, margin=0.15) > _by_score(10, 30, 0.15) + 0.005
    assert p([-0.25] * 40, margin=0.15) == pytest.approx(_by_score(10, 40, 0.15))


def _by_score(lost: float, n: int, margin: float) -> float:
    return 1 - NormalDist().cdf(tango(lost, 0, n, margin))


def test_questions_about_the_same_pages_prove_less() -> None:
    values = [-1.0] * 12 + [0.0] * 12
    assert p(values) < p(values, size=2) < p(values, size=4)


@pytest.mark.parametrize(("pages", "size"), [(2, 30), (3, 20), (4, 5)])
def test_a_few_pages_prove_nothing_however_many_questions_they_hold(pages: int, size: int) -> None:
    assert p([-1.0] * (pages * size), size) >= 1 / 2**pages


def test_one_page_proves_nothing() -> None:
    assert p([-1.0] * 50, size=50) == 1.0


def test_the_order_of_questions_changes_nothing() -> None:
    values, pages = [-1.0, 0.0, -1.0, 1.0, -1.0, 0.0] * 3, [0, 0, 1, 1, 2, 3] * 3
    forth = p_worse(values, pages, margin=0.1, how=QUICK)
    assert p_worse(values[::-1], pages[::-1], margin=0.1, how=QUICK) == forth


def test_tangos_statistic_is_the_distance_in_restricted_errors() -> None:
    gains, losses, n, at = 9, 4, 80, -0.02
    b = -gains - losses + (2 * n - gains + losses) * at
    loss_rate = (sqrt(b * b + 8 * n * losses * at * (1 - at)) - b) / (4 * n)
    expected = (gains - losses - n * at) / sqrt(n * (2 * loss_rate + at * (1 - at)))
    assert tango(gains, losses, n, at) == pytest.approx(expected)


def test_tangos_statistic_at_zero_is_mcnemars() -> None:
    assert tango(9, 4, 80, 0.0) == pytest.approx((9 - 4) / sqrt(9 + 4))


@pytest.mark.parametrize(
    ("differing", "margin", "size"), [(0.3, 0.0, 1), (0.3, 0.0, 3), (0.2, 0.15, 1), (0.2, 0.15, 3)]
)
def test_slices_that_lost_no_more_than_the_margin_are_found_worse_five_times_in_a_hundred_at_most(
    differing: float, margin: float, size: int
) -> None:
    """Ten slices of 24 questions, corrected: how often any of them is found worse."""
    rng, families, slices = np.random.default_rng(1), 100, 10
    chances = [(differing + margin) / 2, 1 - differing, (differing - margin) / 2]
    found = 0
    for _ in range(families):
        drawn = np.repeat(rng.choice([-1.0, 0.0, 1.0], size=(slices, 24 // size), p=chances), size, axis=1)
        found += min(holm([p(values.tolist(), size, margin) for values in drawn])) <= 0.05
    assert found / families <= 0.05 + 2 * sqrt(0.05 * 0.95 / families)


def test_a_slice_that_lost_half_is_found_among_ten() -> None:
    rng = np.random.default_rng(2)
    chances = [p(rng.choice([-1.0, 0.0, 1.0], size=30, p=[0.05, 0.9, 0.05]).tolist()) for _ in range(9)]
    assert holm([*chances, p([-1.0] * 15 + [0.0] * 15)])[-1] <= 0.01


def test_holm_multiplies_the_smallest_by_all_and_the_next_by_one_less() -> None:
    assert holm([0.01, 0.02, 0.005]) == pytest.approx([2 * 0.01, 0.02, 3 * 0.005])


def test_holm_never_puts_a_larger_p_value_before_a_smaller() -> None:
    assert holm([0.02, 0.011]) == pytest.approx([0.022, 0.022])  # alone, 0.02 would stay 0.02
    assert holm([0.9, 0.8, 0.7]) == [1.0, 1.0, 1.0]
    assert holm([]) == []


def test_the_sign_test_is_exact() -> None:
    assert sign_test(5, 0) == 1 / 32
    assert sign_test(6, 1) == (7 + 1) / 2**7
    assert sign_test(3, 4) == sum(comb(7, k) for k in range(3, 8)) / 2**7
    assert sign_test(0, 0) == 1.0


def test_wilson_is_arithmetic() -> None:
    z2 = Z * Z
    expected = (0.5 + z2 / 40 - Z * sqrt(0.25 / 20 + z2 / 1600)) / (1 + z2 / 20)
    assert wilson_lower(0.5, 20, Z) == pytest.approx(expected)
