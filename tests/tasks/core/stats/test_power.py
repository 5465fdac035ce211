from dataclasses import replace
from math import sqrt

import numpy as np
import pytest

from tasks.core.stats import Estimate, Resampling, estimate_difference, least_questions, questions_needed
from tasks.core.stats.bounds import bounds
from tasks.core.stats.pages import pages_of

QUICK = Resampling(resamples=1_000)
FASTEST = Resampling(resamples=400)
TENTH_DIFFERS = Estimate(0.0, -0.2, 0.2, 200, 200, spread=sqrt(0.1), design_effect=1.0)


def test_the_least_number_of_questions_is_what_the_bound_needs_when_all_answers_agree() -> None:
    n = least_questions(0.1, alpha=0.05)
    assert 0.9**n < 0.05 <= 0.9 ** (n - 1)

    def lower(questions: int) -> float:
        return estimate_difference([0.0] * questions, range(questions), alpha=0.05, how=QUICK).lower

    assert lower(n) > -0.1 >= lower(n - 1)


def test_an_equal_candidate_with_ten_percent_differing_needs_some_two_thousand_questions_for_two_points() -> None:
    by_normal_theory = ((1.645 + 0.842) / 0.02) ** 2 * 0.1  # 1,546 for 80 %, were the spread known
    assert by_normal_theory < questions_needed(TENTH_DIFFERS, 0.02, alpha=0.05) < 1.5 * by_normal_theory


def test_half_the_distance_takes_about_four_times_as_many() -> None:
    few, many = (questions_needed(TENTH_DIFFERS, at, alpha=0.05) for at in (0.04, 0.02))
    assert 3.5 < many / few < 4.2


def test_more_are_asked_for_than_there_were() -> None:
    assert questions_needed(TENTH_DIFFERS, 0.9, alpha=0.05) == 201


def test_pages_that_may_be_lost_whole_take_more_where_nothing_differs() -> None:
    """Five questions a page: as many pages as it takes to hold one of a hundred."""
    alone = Estimate(0.0, -0.01, 0.01, 1_000, 1_000, spread=0.0, design_effect=1.0)
    by_five = replace(alone, clusters=200, page_size=5.0, large_page=5.0)
    few, many = (questions_needed(seen, 0.01, alpha=0.05) for seen in (alone, by_five))
    assert few < 5 * least_questions(0.01, alpha=0.05) < many


@pytest.mark.parametrize(("size", "differing"), [(1, 0.3), (3, 0.15)])
def test_as_many_as_were_asked_for_pass_an_equal_candidate_four_times_in_five(size: int, differing: float) -> None:
    """First 18 questions, then as many as those asked for, both drawn by chance."""
    rng, times = np.random.default_rng(6), 80
    passed = asked = 0
    for _ in range(times):
        first = _equal(rng, 18, differing)
        seen = estimate_difference(first, _by_page(18, size), alpha=0.05, how=FASTEST)
        if seen.lower > -0.25:
            continue
        n = -(-questions_needed(seen, max(0.005, abs(0.25 + min(0.0, seen.mean))), alpha=0.05) // size) * size
        pages = pages_of(_equal(rng, n, differing), _by_page(n, size))
        asked += 1
        passed += bool(bounds(pages, alpha=0.05, how=FASTEST, worst=-1.0, best=1.0)[0][0] > -0.25)
    assert asked > times / 3
    assert passed / asked >= 0.8 - 2 * sqrt(0.8 * 0.2 / asked)


def _equal(rng: np.random.Generator, n: int, differing: float) -> list[float]:
    return rng.choice([-1.0, 0.0, 1.0], size=n, p=[differing / 2, 1 - differing, differing / 2]).tolist()


def _by_page(n: int, size: int) -> list[int]:
    return [i // size for i in range(n)]
