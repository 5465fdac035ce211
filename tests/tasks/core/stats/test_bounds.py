from math import comb, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.stats import Estimate, Resampling, estimate_difference, estimate_share
from tasks.core.stats.bounds import bootstrap_t, bounds, one_page_more, unseen_pages
from tasks.core.stats.pages import pages_of

QUICK = Resampling(resamples=1_000)


def difference(values: list[float], clusters: list[int] | None = None, alpha: float = 0.05) -> Estimate:
    return estimate_difference(values, clusters or list(range(len(values))), alpha=alpha, how=QUICK)


def share(values: list[float], clusters: list[int] | None = None) -> Estimate:
    return estimate_share(values, clusters or list(range(len(values))), alpha=0.05, how=QUICK)


def test_without_any_difference_the_bound_leaves_room_for_what_thirty_questions_cannot_hold() -> None:
    seen = difference([0.0] * 30)
    assert (1 + seen.lower) ** 30 == pytest.approx(0.05)  # so much may be lost, and none of 30 was
    assert (seen.mean, seen.upper) == (0.0, -seen.lower)


def test_questions_about_one_page_are_one_page_that_may_be_lost() -> None:
    seen = difference([0.0] * 30, [i // 3 for i in range(30)])
    assert (1 + seen.lower) ** 10 == pytest.approx(0.05)


def test_a_large_page_leaves_more_room_than_pages_of_equal_size() -> None:
    even, uneven = [i // 3 for i in range(30)], [0] * 12 + list(range(1, 10)) * 2
    assert difference([0.0] * 30, uneven).lower < difference([0.0] * 30, even).lower


@pytest.mark.parametrize(("right", "n"), [(17, 20), (40, 60), (92, 100)])
def test_a_share_of_single_questions_has_the_bound_of_clopper_and_pearson(right: int, n: int) -> None:
    pages = pages_of([1.0] * right + [0.0] * (n - right), range(n))
    [lower], [upper] = one_page_more(pages, 0.05, Resampling(), 0.0, 1.0)

    def at_least(k: int, p: float) -> float:
        return sum(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))

    assert at_least(right, lower) == pytest.approx(0.05, abs=0.01)
    assert 1 - at_least(right + 1, upper) == pytest.approx(0.05, abs=0.01)


def test_against_zero_one_page_more_is_the_sign_test() -> None:
    """5 better and 0 worse: 1/32. 4 and 0: 1/16."""
    rest = [0.0] * 40
    assert difference([1.0] * 5 + rest, alpha=1 / 20).lower > 0 >= difference([1.0] * 4 + rest, alpha=1 / 20).lower
    assert difference([1.0] * 8 + [-1.0] + rest, alpha=0.03).lower > 0  # (1 + 9) / 2^9 = 0.0195
    assert difference([1.0] * 8 + [-1.0] + rest, alpha=0.01).lower < 0


def test_unseen_pages_are_lost_whole_and_the_others_stay_as_they_are() -> None:
    pages = pages_of([0.4] * 20, range(20))
    [lower], [upper] = unseen_pages(pages, 0.05, -1.0, 1.0)
    unseen = 1 - 0.05 ** (1 / 20)
    assert lower == pytest.approx((1 - unseen) * 0.4 - unseen, abs=1e-5)
    assert upper == pytest.approx((1 - unseen) * 0.4 + unseen, abs=1e-5)


def test_one_page_of_forty_lost_whole_is_not_shown_to_be_within_ten_points() -> None:
    """Were one page in ten lost, so few would be seen on 40: (1 - 1/10)^40 + 40 / 10 · (1 - 1/10)^39 = 8 %."""
    assert 0.9**40 + 4 * 0.9**39 > 0.05
    lost_whole = [-1.0] * 5 + [0.0] * 195
    assert difference(lost_whole, _by_page(40, 5)).lower <= -0.1


def test_the_studentised_bootstrap_reaches_further_to_the_side_of_the_rare_values() -> None:
    pages = pages_of([-1.0] * 6 + [0.0] * 94, range(100))
    [lower], [upper] = bootstrap_t(pages, 0.05, QUICK)
    assert pages.means[0] - lower > 1.3 * (upper - pages.means[0])


def test_the_same_seed_gives_the_same_bounds_and_another_seed_others() -> None:
    values = [1.0, 0, -1, 0, 1, 1, 0, 1, -1, 1] * 6
    assert difference(values) == difference(values)
    other = estimate_difference(values, list(range(60)), alpha=0.05, how=Resampling(7, 1_000))
    assert other.mean == difference(values).mean
    assert other.lower != difference(values).lower


def test_the_order_of_questions_changes_nothing() -> None:
    values, clusters = [1.0, 0.0, -1.0, 1.0, 1.0, 0.0] * 5, [0, 0, 1, 1, 2, 2] * 5
    assert difference(values, clusters).lower == difference(values[::-1], clusters[::-1]).lower


def test_many_metrics_at_once_have_the_bounds_each_has_alone() -> None:
    values = np.random.default_rng(0).integers(-1, 2, size=(60, 5)).astype(float)
    clusters = [i // 2 for i in range(60)]
    lower, upper = bounds(pages_of(values, clusters), alpha=0.05, how=QUICK, worst=-1.0, best=1.0)
    alone = [difference(column.tolist(), clusters) for column in values.T]
    assert lower.tolist() == [seen.lower for seen in alone]
    assert upper.tolist() == [seen.upper for seen in alone]


def test_pages_that_agree_widen_the_bounds() -> None:
    together = [1.0] * 12 + [0.0] * 24 + [-1.0] * 6
    alone, clustered = difference(together), difference(together, [i // 6 for i in range(42)])
    assert clustered.mean == alone.mean
    assert clustered.lower < alone.lower
    assert clustered.upper > alone.upper


def test_one_page_decides_nothing() -> None:
    seen = difference([1.0] * 50, [0] * 50)
    assert (seen.lower, seen.upper) == (-1.0, 1.0)


def test_a_share_is_bounded_by_0_and_1() -> None:
    everything = share([1.0] * 20)
    assert everything.upper == 1.0
    assert everything.lower**20 == pytest.approx(0.05)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]), min_size=2, max_size=40), st.integers(1, 3))
def test_bounds_hold_the_mean_and_stay_in_range(values: list[float], size: int) -> None:
    clusters = [i // size for i in range(len(values))]
    seen = difference(values, clusters)
    assert -1 <= seen.lower <= seen.mean <= seen.upper <= 1
    assert difference([-v for v in values], clusters).mean == -seen.mean


def losing(rng: np.random.Generator, *, pages: int, size: int, harm: float, differing: float, together: float):
    """(questions, times): differences whose true mean is -harm; answers copy their page's fate with some chance."""
    chances = [(differing + harm) / 2, 1 - differing, (differing - harm) / 2]
    fate = rng.choice([-1.0, 0.0, 1.0], size=(pages, 1, TIMES), p=chances)
    own = rng.choice([-1.0, 0.0, 1.0], size=(pages, size, TIMES), p=chances)
    return np.where(rng.random(own.shape) < sqrt(together), fate, own).reshape(-1, TIMES)


def losing_pages(rng: np.random.Generator, *, pages: int, size: int, harm: float, differing: float):
    """The same, but the loss is whole pages."""
    kept = losing(rng, pages=pages, size=size, harm=0.0, differing=differing, together=0.0)
    return np.where(np.repeat(rng.random((pages, TIMES)) < harm, size, axis=0), -1.0, kept)


TIMES = 1_000


@pytest.mark.parametrize(
    ("pages", "size", "harm", "differing", "together"),
    [(100, 1, 0.1, 0.1, 0.0), (100, 1, 0.05, 0.2, 0.0), (30, 5, 0.1, 0.3, 0.2), (30, 5, 0.1, 0.1, 1.0)],
)
def test_harm_of_exactly_the_margin_passes_six_times_in_a_hundred_at_most(
    pages: int, size: int, harm: float, differing: float, together: float
) -> None:
    drawn = losing(np.random.default_rng(3), pages=pages, size=size, harm=harm, differing=differing, together=together)
    lower, _ = bounds(pages_of(drawn, _by_page(pages, size)), alpha=0.05, how=QUICK, worst=-1.0, best=1.0)
    assert (lower > -harm).mean() <= 0.06 + 2 * sqrt(0.06 * 0.94 / TIMES)


@pytest.mark.parametrize(("pages", "size", "differing"), [(20, 5, 0.0), (29, 5, 0.1), (30, 2, 0.2), (60, 10, 0.3)])
def test_whole_pages_lost_pass_six_times_in_a_hundred_at_most(pages: int, size: int, differing: float) -> None:
    """On 20 pages of which one in ten is lost, every eighth golden set holds none of them: it must not be enough."""
    drawn = losing_pages(np.random.default_rng(4), pages=pages, size=size, harm=0.1, differing=differing)
    lower, _ = bounds(pages_of(drawn, _by_page(pages, size)), alpha=0.05, how=QUICK, worst=-1.0, best=1.0)
    assert (lower > -0.1).mean() <= 0.06 + 2 * sqrt(0.06 * 0.94 / TIMES)


def test_an_equal_candidate_is_mostly_passed_when_there_are_pages_enough() -> None:
    drawn = losing(np.random.default_rng(5), pages=100, size=2, harm=0.0, differing=0.1, together=0.1)
    lower, _ = bounds(pages_of(drawn, _by_page(100, 2)), alpha=0.05, how=QUICK, worst=-1.0, best=1.0)
    assert (lower > -0.1).mean() > 0.9


def _by_page(pages: int, size: int) -> list[int]:
    return np.repeat(range(pages), size).tolist()
