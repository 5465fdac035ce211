import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from tasks.core.stats.bounds import standard_errors
from tasks.core.stats.draws import GRID, ONE, Resampling, on_grid, page_weights, times_drawn, weigh
from tasks.core.stats.pages import pages_of

QUICK = Resampling(resamples=1_000)
ROOT = Path(__file__).parents[4]


def test_as_many_pages_are_drawn_as_there_are() -> None:
    drawn = times_drawn(QUICK, 37)
    assert drawn.shape == (1_000, 37)
    assert set(drawn.sum(axis=1).tolist()) == {37}


def test_every_page_is_drawn_alike() -> None:
    each = times_drawn(Resampling(), 20).mean(axis=0)
    assert abs(each - 1).max() < 5 * np.sqrt(19 / 20 / 10_000)


def test_page_weights_are_exponential_and_there_is_one_more_than_pages() -> None:
    weights = page_weights(Resampling(), 20) / ONE
    assert weights.shape == (10_000, 21)
    assert abs(weights.mean() - 1) < 5 / np.sqrt(weights.size)
    assert abs((weights > np.log(20)).mean() - 1 / 20) < 5 * np.sqrt(0.05 * 0.95 / weights.size)


def test_the_same_seed_draws_the_same_and_another_seed_something_else() -> None:
    drawn, weights = times_drawn(QUICK, 9).copy(), page_weights(QUICK, 9).copy()
    times_drawn.cache_clear()
    page_weights.cache_clear()
    assert (times_drawn(QUICK, 9) == drawn).all()
    assert (page_weights(QUICK, 9) == weights).all()
    other = Resampling(QUICK.seed + 1, QUICK.resamples)
    assert (times_drawn(other, 9) != drawn).any()
    assert (page_weights(other, 9) != weights).any()


def test_no_weight_lies_so_near_a_half_that_another_logarithm_would_round_it_otherwise() -> None:
    exact = -np.log((np.arange(GRID) + 0.5) / GRID) * ONE
    assert abs(exact - np.floor(exact) - 0.5).min() > 1e-8  # logarithms differ by less than 1e-11 here


def test_weighing_is_exact_whatever_the_order() -> None:
    rng = np.random.default_rng(0)
    values = on_grid(rng.uniform(-1, 1, size=(600, 3)))
    weights = page_weights(QUICK, 599)
    by_integers = weights.astype(np.int64) @ (values * GRID).astype(np.int64)
    assert (weigh(weights, values) * GRID == by_integers).all()
    order = rng.permutation(600)
    assert (weigh(weights[:, order], values[order]) == weigh(weights, values)).all()


def test_squares_of_large_pages_are_summed_exactly_too() -> None:
    values = np.random.default_rng(1).uniform(0, 1, 30_000)
    pages = pages_of(values, np.repeat(range(30), 1_000).tolist())
    drawn = times_drawn(QUICK, 30)
    forth = standard_errors(drawn, pages)
    back = standard_errors(drawn[:, ::-1], replace(pages, sums=pages.sums[::-1], sizes=pages.sizes[::-1]))
    assert (forth[0] == back[0]).all()
    assert (forth[1] == back[1]).all()


def test_bounds_are_the_same_bits_on_one_thread_and_on_two_and_without_fast_instructions() -> None:
    program = (
        "import numpy as np\n"
        "from tasks.core.stats import Resampling, estimate_difference, p_worse\n"
        "rng = np.random.default_rng(5)\n"
        "values = rng.uniform(-1, 1, 900).tolist(); pages = rng.integers(0, 300, 900).tolist()\n"
        "how = Resampling(resamples=2_000)\n"
        "seen = estimate_difference(values, pages, alpha=0.05, how=how)\n"
        "print(*(x.hex() for x in (seen.mean, seen.lower, seen.upper, seen.spread, seen.design_effect)))\n"
        "print(p_worse(values, pages, margin=0.01, how=how).hex())\n"
    )

    def run(**how: str) -> str:
        environment = os.environ | {"PYTHONPATH": str(ROOT)} | how
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    one = run(OPENBLAS_NUM_THREADS="1")
    assert one.count("0x") == 6
    assert run(OPENBLAS_NUM_THREADS="2") == one
    assert run(OPENBLAS_NUM_THREADS="2", OPENBLAS_CORETYPE="Nehalem", NPY_DISABLE_CPU_FEATURES="X86_V3") == one
