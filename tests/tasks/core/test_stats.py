from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from evaluation_fakes import golden_label
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.stats import (
    Estimate,
    Resampling,
    clusters_of,
    estimate_difference,
    estimate_share,
    least_questions,
    questions_needed,
    sign_test,
    smallest_decidable_margin,
    tango_lower,
    wilson_lower,
)

Z = 1.6448536269514722
QUICK = Resampling(resamples=1_000)


def difference(values: list[float], clusters: list[int] | None = None, alpha: float = 0.05) -> Estimate:
    return estimate_difference(values, clusters or list(range(len(values))), alpha=alpha, how=QUICK)


def test_without_any_difference_the_bound_still_leaves_room_for_harm() -> None:
    seen = difference([0.0] * 30)
    assert (seen.mean, seen.upper) == (0.0, pytest.approx(Z**2 / (30 + Z**2)))
    assert seen.lower == pytest.approx(-(Z**2) / (30 + Z**2))


def test_the_score_bound_solves_its_own_equation() -> None:
    gains, losses, n = 9, 4, 80
    bound = tango_lower(gains, losses, n, Z)
    # Tango 1998: at the bound, the standardised distance under the restricted maximum likelihood estimate is z.
    b = -gains - losses + (2 * n - gains + losses) * bound
    loss_rate = (sqrt(b * b + 8 * n * losses * bound * (1 - bound)) - b) / (4 * n)
    distance = gains - losses - n * bound
    assert distance / sqrt(n * (2 * loss_rate + bound * (1 - bound))) == pytest.approx(Z)


def test_wilson_is_arithmetic() -> None:
    z2 = Z * Z
    expected = (0.5 + z2 / 40 - Z * sqrt(0.25 / 20 + z2 / 1600)) / (1 + z2 / 20)
    assert wilson_lower(0.5, 20, Z) == pytest.approx(expected)


def test_the_same_seed_gives_the_same_bounds_and_another_seed_others() -> None:
    values = [1.0, 0, -1, 0, 1, 1, 0, 1, -1, 1] * 6
    assert difference(values) == difference(values)
    other = estimate_difference(values, list(range(60)), alpha=0.05, how=Resampling(7, 1_000))
    assert other.mean == difference(values).mean


def test_the_order_of_questions_changes_nothing() -> None:
    values, clusters = [1.0, 0.0, -1.0, 1.0, 1.0, 0.0] * 5, [0, 0, 1, 1, 2, 2] * 5
    assert difference(values, clusters).lower == difference(values[::-1], clusters[::-1]).lower


def test_clusters_that_agree_widen_the_bounds() -> None:
    together = [1.0] * 12 + [0.0] * 24 + [-1.0] * 6
    pages = [i // 6 for i in range(42)]
    alone, clustered = difference(together), difference(together, pages)
    assert clustered.mean == alone.mean
    assert clustered.lower < alone.lower
    assert clustered.upper > alone.upper
    assert clustered.design_effect > 1 == alone.design_effect


def test_one_cluster_decides_nothing() -> None:
    seen = difference([1.0] * 50, [0] * 50)
    assert (seen.lower, seen.upper) == (-1.0, 1.0)


def test_a_share_is_bounded_by_0_and_1() -> None:
    everything = estimate_share([1.0] * 20, list(range(20)), alpha=0.05, how=QUICK)
    assert everything.upper == 1.0
    assert everything.lower == pytest.approx(20 / (20 + Z**2))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]), min_size=2, max_size=40))
def test_bounds_hold_the_mean_and_stay_in_range(values: list[float]) -> None:
    seen = difference(values)
    assert -1 <= seen.lower <= seen.mean <= seen.upper <= 1
    mirrored = difference([-v for v in values])
    assert mirrored.mean == -seen.mean


def test_labels_that_share_a_page_directly_or_not_are_one_cluster() -> None:
    labels = [golden_label(i) for i in range(5)]
    labels[0] = replace(labels[0], documents=("a", "b"))
    labels[1] = replace(labels[1], documents=("c",))
    labels[2] = replace(labels[2], documents=("b", "c"))
    labels[3] = replace(labels[3], documents=())
    labels[4] = replace(labels[4], documents=())
    found = clusters_of(labels)
    assert found[0] == found[1] == found[2]
    assert len({found[0], found[3], found[4]}) == 3


def test_the_sign_test_is_exact() -> None:
    assert sign_test(5, 0) == 1 / 32
    assert sign_test(6, 1) == (7 + 1) / 2**7
    assert sign_test(0, 0) == 1.0


def test_an_equal_candidate_with_ten_percent_differing_needs_1_600_questions_for_two_points() -> None:
    assert smallest_decidable_margin(sqrt(0.1), 1_600) == pytest.approx(2.486 * sqrt(0.1) / 40, rel=1e-3)
    seen = Estimate(0.0, -0.1, 0.1, 200, 200, spread=sqrt(0.1), design_effect=1.0)
    assert questions_needed(seen, 0.02, alpha=0.05) == pytest.approx((2.486 / 0.02) ** 2 * 0.1, rel=1e-3)


def test_the_least_number_of_questions_is_what_the_bound_needs_when_all_answers_agree() -> None:
    n = least_questions(0.1, alpha=0.05)
    assert difference([0.0] * n).lower >= -0.1 > difference([0.0] * (n - 1)).lower


def draws(rng: np.random.Generator, *, pages: int, size: int, harm: float, differing: float, together: float):
    """Differences whose true mean is -harm; on a page, answers copy the page's fate with some probability."""
    chances = [(differing + harm) / 2, 1 - differing, (differing - harm) / 2]
    fate = rng.choice([-1.0, 0.0, 1.0], size=(pages, 1), p=chances)
    own = rng.choice([-1.0, 0.0, 1.0], size=(pages, size), p=chances)
    values = np.where(rng.random((pages, size)) < sqrt(together), fate, own)
    return values.ravel().tolist(), np.repeat(np.arange(pages), size).tolist()


@pytest.mark.parametrize(
    ("pages", "size", "harm", "differing", "together"),
    [(100, 1, 0.1, 0.1, 0.0), (100, 1, 0.05, 0.2, 0.0), (17, 6, 0.1, 0.3, 0.2), (40, 6, 0.05, 0.4, 0.3)],
)
def test_harm_of_exactly_the_margin_is_promoted_six_times_in_a_hundred_at_most(
    pages: int, size: int, harm: float, differing: float, together: float
) -> None:
    rng = np.random.default_rng(3)
    times = 300
    promoted = sum(
        difference(*draws(rng, pages=pages, size=size, harm=harm, differing=differing, together=together)).lower > -harm
        for _ in range(times)
    )
    assert promoted / times <= 0.06 + 2 * sqrt(0.06 * 0.94 / times)
