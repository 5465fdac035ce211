"""How often the gates are wrong, beside common rules on the same simulated golden sets.

Harm of exactly the margin that is promoted; shares that stand on a floor and pass it; slices found worse that are not;
and how often an equal candidate passes at the number of questions that the gates asked for.

    .venv/bin/python benchmarks/gates/error_rates.py [--quick] [--workers 2] [--json FILE]

Every cell of the grid is drawn 400 times; what comes near the limit is drawn anew 4,000 times, and nearer still 20,000
times, so a high number is not just the luckiest of thousands. The bounds are the gates' own, at alpha 5 % and with
2,000 resamples instead of 10,000. Exit status 1 when a promised rate is exceeded by more than two standard errors.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from math import sqrt
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # one per worker; set before numpy is imported

import numpy as np
from worlds import Floats, World, draw, pages_of_draws

from tasks.core.stats import Resampling, estimate_difference, holm, p_worse, questions_needed
from tasks.core.stats.bounds import bounds
from tasks.core.stats.pages import pages_of

HOW = Resampling(resamples=2_000)
ALPHA = 0.05
LIMIT = 0.06  # of false promotion
POWER = 0.8  # of an equal candidate at the number asked for
SEED = 20_261_125
AT_ONCE = 600_000  # values drawn at a time

NS = (60, 100, 200, 500, 1_000, 2_000)
LAYOUTS = ("one a page", "five a page", "very unequal")
MARGINS = (0.02, 0.05, 0.1)
DIFFERING = (0.02, 0.05, 0.1, 0.2, 0.4)
TOGETHER = (0.0, 0.1, 0.3, 0.6, 1.0)
RULES = (
    "ratchet",
    "mean >= current",
    "drop <= margin",
    "not found worse (t-test)",
    "t-test by question",
    "bootstrap by question",
)


@dataclass(frozen=True)
class Rate:
    """How often something happened."""

    hits: int
    times: int

    @property
    def share(self) -> float:
        return self.hits / self.times if self.times else 0.0

    @property
    def error(self) -> float:
        share = max(self.share, 1 / self.times)
        return sqrt(share * (1 - share) / self.times)

    def __str__(self) -> str:
        return f"{100 * self.share:.2f} ± {100 * self.error:.2f} %"


@dataclass
class Found:
    """What a run found, for the table and for the file."""

    sections: dict[str, Any] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def promise(self, what: str, rate: Rate, *, most: float | None = None, least: float | None = None) -> None:
        """Notes a promise that the rate breaks by more than two standard errors."""
        if most is not None and rate.share > most + 2 * rate.error:
            self.broken.append(f"{what}: {rate}, at most {100 * most:g} % was promised")
        if least is not None and rate.share < least - 2 * rate.error:
            self.broken.append(f"{what}: {rate}, at least {100 * least:g} % was promised")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--quick", action="store_true", help="a tenth of the cells, in a minute or two")
    asked.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    asked.add_argument("--json", type=Path)
    given = asked.parse_args()
    found, begun = Found(), time.perf_counter()
    with ProcessPoolExecutor(given.workers) as pool:
        for name, section in SECTIONS.items():
            print(f"\n== {name}", flush=True)
            found.sections[name] = section(pool, found, given.quick)
    seconds = time.perf_counter() - begun
    print(f"\n{seconds:.0f} s")
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        told = {"seconds": round(seconds), "quick": given.quick, "broken": found.broken, **found.sections}
        given.json.write_text(json.dumps(told, indent=1) + "\n")
    sys.exit("\n".join(found.broken) or None)


# ── harm of exactly the margin ───────────────────────────────────────────────────────────────────────────────────────


def false_promotion(pool: ProcessPoolExecutor, found: Found, quick: bool) -> dict[str, Any]:
    every = [World(*cell) for cell in product(NS, LAYOUTS, MARGINS, DIFFERING, TOGETHER, (False, True))]
    every += [
        World(n, layout, margin, differing, together, False, harm)
        for n, layout, margin, differing, together, harm in product(
            NS, LAYOUTS[1:], MARGINS, DIFFERING, (0.0, 0.3, 1.0), ("whole pages", "large pages")
        )
        if harm == "whole pages" or layout == "very unequal"
    ]
    cells = [world for world in every if world.possible][:: 10 if quick else 1]
    rates = dict(zip(cells, _shown(pool.map(_by_every_rule, cells, chunksize=4), len(cells)), strict=True))
    ratchet = {world: rate["ratchet"] for world, rate in rates.items()}
    for times, above in ((4_000, 0.04), (20_000, 0.052)):
        near = [world for world, rate in ratchet.items() if rate.share >= above]
        print(f"{len(near)} cells at {100 * above:g} % or more, drawn {times:,} times anew", flush=True)
        ratchet.update(zip(near, pool.map(_drawn_again, near, [times] * len(near)), strict=True))
    promised = {world: rate for world, rate in ratchet.items() if world.harm != "large pages"}
    for world, rate in promised.items():
        found.promise(f"false promotion, {world.name}", rate, most=LIMIT)
    _print_rules(promised, rates)
    _print_layouts(ratchet)
    return {
        "rules": {rule: _summary([rates[world][rule] for world in promised]) for rule in RULES[1:]}
        | {"ratchet": _summary(list(promised.values()))},
        "cells": [
            {**asdict(world), "rate": round(rate.share, 5), "times": rate.times} for world, rate in ratchet.items()
        ],
    }


def _by_every_rule(world: World) -> dict[str, Rate]:
    values = draw(world, _rng(world, 1), 400)
    passed = {rule: int(np.count_nonzero(says)) for rule, says in _say(world, values).items()}
    return {rule: Rate(hits, len(values)) for rule, hits in passed.items()}


def _say(world: World, values: Floats) -> dict[str, Any]:
    """Rule → for each golden set, whether the rule promotes."""
    mean, n = values.mean(axis=1), values.shape[1]
    error = np.maximum(values.std(axis=1, ddof=1), 1e-12) / sqrt(n)
    return {
        "ratchet": _ratchet(world, values) > -world.margin,
        "mean >= current": mean >= 0,
        "drop <= margin": mean >= -world.margin - 1e-12,
        "not found worse (t-test)": mean > -1.645 * error,
        "t-test by question": mean - 1.645 * error > -world.margin,
        "bootstrap by question": _percentile(values) > -world.margin,
    }


def _ratchet(world: World, values: Floats) -> Floats:
    return bounds(pages_of_draws(world, values), alpha=ALPHA, how=HOW, worst=-1.0, best=1.0)[0]


def _percentile(values: Floats) -> Floats:
    """5 % quantile of the mean of questions drawn with repeats: what most people mean by a paired bootstrap.

    Drawn for 100 of the golden sets by 500 resamples, which is as much as a rate beside others needs.
    """
    some, rng = values[:: max(1, len(values) // 100)], np.random.default_rng(1)
    n = some.shape[1]
    weights = rng.multinomial(n, np.full(n, 1 / n), size=500).astype(np.float64)
    low = np.quantile(weights @ some.T / n, 0.05, axis=0)
    return np.repeat(low, -(-len(values) // len(some)))[: len(values)]


def _drawn_again(world: World, times: int) -> Rate:
    rng, hits, step = _rng(world, times), 0, max(50, AT_ONCE // world.n)
    for done in range(0, times, step):
        values = draw(world, rng, min(step, times - done))
        hits += int(np.count_nonzero(_ratchet(world, values) > -world.margin))
    return Rate(hits, times)


def _print_rules(promised: dict[World, Rate], rates: dict[World, dict[str, Rate]]) -> None:
    print(f"\nharm of exactly the margin is promoted, over {len(promised)} cells:")
    print(f"{'rule':<28}{'mean':>8}{'worst cell':>12}{'cells above 6 %':>18}")
    for rule in RULES:
        of = [promised[world] if rule == "ratchet" else rates[world][rule] for world in promised]
        shares = [rate.share for rate in of]
        above = sum(share > LIMIT for share in shares)
        print(f"{rule:<28}{100 * np.mean(shares):>7.1f}%{100 * max(shares):>11.1f}%{above:>18}")


def _print_layouts(ratchet: dict[World, Rate]) -> None:
    groups: dict[tuple[str, str], list[tuple[World, Rate]]] = defaultdict(list)
    for world, rate in ratchet.items():
        groups[world.layout, world.harm].append((world, rate))
    print("\nratchet, by layout and kind of harm (large pages: outside the promise, to see what it costs):")
    for (layout, harm), cells in groups.items():
        worst, rate = max(cells, key=lambda cell: cell[1].share)
        mean = np.mean([cell[1].share for cell in cells])
        print(f"{layout}, {harm}: {len(cells)} cells, mean {100 * mean:.1f} %, worst {rate} ({worst.name})")


# ── floors ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def false_floors(pool: ProcessPoolExecutor, found: Found, quick: bool) -> dict[str, Any]:
    cells = list(product((60, 200), LAYOUTS, (0.2, 0.6, 0.7, 0.9), TOGETHER))[:: 6 if quick else 1]
    rates = dict(zip(cells, pool.map(_floor_passed, cells, chunksize=4), strict=True))
    for cell, rate in rates.items():
        found.promise(f"floor of {cell[2]}, n={cell[0]} {cell[1]}, correlation {cell[3]:g}", rate, most=LIMIT)
    worst = max(rates, key=lambda cell: rates[cell].share)
    mean = np.mean([rate.share for rate in rates.values()])
    print(
        f"a share that stands exactly on its floor passes: {len(rates)} cells, mean {100 * mean:.1f} %, worst", end=" "
    )
    print(f"{rates[worst]} (n={worst[0]} {worst[1]}, floor {worst[2]}, correlation {worst[3]:g})")
    return _summary(list(rates.values()))


def _floor_passed(cell: tuple[int, Any, float, float]) -> Rate:
    n, layout, floor, together = cell
    world, times = World(n, layout, 0.0, 0.0, together), 4_000
    sizes, member, rng = world.sizes, world.member, np.random.default_rng([SEED, n, int(100 * floor)])
    fate = (rng.random((times, len(sizes))) < floor)[:, member]
    own = rng.random((times, len(member))) < floor
    values = np.where(rng.random(own.shape) < sqrt(together), fate, own).astype(np.float64)
    lower, _ = bounds(pages_of(values.T, member.tolist()), alpha=ALPHA, how=HOW, worst=0.0, best=1.0)
    return Rate(int(np.count_nonzero(lower > floor)), times)


# ── slices ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def false_slices(pool: ProcessPoolExecutor, found: Found, quick: bool) -> dict[str, Any]:
    cells = [
        cell
        for cell in product((1, 5, 10, 20), (8, 20, 60), (1, 2, 5), (0.0, 0.15), (0.2, 0.4), (0.0, 0.3, 1.0))
        if cell[2] > 1 or cell[5] == 0.0
    ][:: 12 if quick else 1]
    rates = dict(zip(cells, _shown(pool.map(_any_slice, cells, chunksize=4), len(cells)), strict=True))
    near = [cell for cell, rate in rates.items() if rate.share >= 0.04]
    rates.update(zip(near, pool.map(_any_slice, near, [2_000] * len(near)), strict=True))
    for cell, rate in rates.items():
        found.promise(f"slices {cell}", rate, most=ALPHA)
    worst = max(rates, key=lambda cell: rates[cell].share)
    mean = np.mean([rate.share for rate in rates.values()])
    print(
        f"any slice found worse (Holm) that is not: {len(rates)} cells, mean {100 * mean:.1f} %, worst {rates[worst]}"
    )
    names = ("slices", "questions", "questions a page", "margin", "differing", "correlation")
    print("  " + ", ".join(f"{name} {value:g}" for name, value in zip(names, worst, strict=True)))
    return _summary(list(rates.values()))


def _any_slice(cell: tuple[int, int, int, float, float, float], times: int = 200) -> Rate:
    slices, n, size, margin, differing, together = cell
    rng, found = np.random.default_rng([SEED, slices, n, size, times]), 0
    pages = np.repeat(np.arange(n // size), size)
    for _ in range(times):
        chances = [(differing + margin) / 2, 1 - differing, (differing - margin) / 2]
        fate = rng.choice([-1.0, 0.0, 1.0], size=(slices, n // size), p=chances)[:, pages]
        own = rng.choice([-1.0, 0.0, 1.0], size=(slices, len(pages)), p=chances)
        values = np.where(rng.random(own.shape) < sqrt(together), fate, own)
        p_values = [p_worse(row.tolist(), pages.tolist(), margin=margin, how=HOW) for row in values]
        found += min(holm(p_values)) <= ALPHA
    return Rate(found, times)


# ── the number asked for ─────────────────────────────────────────────────────────────────────────────────────────────


def asked_for(pool: ProcessPoolExecutor, found: Found, quick: bool) -> dict[str, Any]:
    """First a golden set of n, then one of as many as were asked for: how often an equal candidate passes then."""
    cells = [
        World(n, layout, margin, differing, together)
        for n, layout, margin, differing, together in product(
            (30, 60, 100), LAYOUTS, (0.05, 0.1), (0.05, 0.1, 0.2, 0.4), (0.0, 0.3)
        )
        if layout != "one a page" or not together
    ][:: 8 if quick else 1]
    told = list(_shown(pool.map(_asked_and_given, cells, chunksize=2), len(cells)))
    rows = [(world, rate, numbers) for world, (rate, numbers) in zip(cells, told, strict=True) if rate.times >= 50]
    for world, rate, _ in rows:
        found.promise(f"an equal candidate at the number asked for, from {world.name}", rate, least=POWER)
    print("an equal candidate, at as many questions as were asked for after a first golden set of n:")
    print(f"{'first':<62}{'asked (10 %, median, 90 %)':>30}{'passes':>18}")
    for world, rate, numbers in rows:
        low, middle, high = np.quantile(numbers, [0.1, 0.5, 0.9])
        print(f"{_equal_name(world):<62}{f'{low:,.0f} {middle:,.0f} {high:,.0f}':>30}{rate!s:>18}")
    return {"cells": [{**asdict(world), "passes": rate.share, "times": rate.times} for world, rate, _ in rows]} | (
        _summary([rate for _, rate, _ in rows])
    )


def _asked_and_given(world: World, times: int = 200) -> tuple[Rate, list[int]]:
    rng, hits, numbers = _rng(world, 7), 0, []
    for values in draw(world, rng, times, equal=True):
        seen = estimate_difference(values.tolist(), world.member.tolist(), alpha=ALPHA, how=HOW)
        if seen.lower > -world.margin or seen.upper < -world.margin:
            continue
        distance = world.margin if seen.upper >= 0 else max(abs(seen.mean + world.margin), 0.005)  # as `gate.judge`
        numbers.append(questions_needed(seen, distance, alpha=ALPHA))
    by_size: dict[int, int] = defaultdict(int)
    for number in numbers:
        by_size[_rounded(number)] += 1
    for n, count in by_size.items():
        again = replace(world, n=n, like=world.n)
        hits += int(np.count_nonzero(_ratchet(again, draw(again, rng, count, equal=True)) > -world.margin))
    return Rate(hits, max(1, len(numbers))), numbers


def _rounded(number: int) -> int:
    """Down to two figures, a multiple of five and 4,000 at most, so that not every one is drawn for. Never more."""
    figures = 10 ** max(0, len(str(number)) - 2)
    return max(5, min(4_000, number // figures * figures) // 5 * 5)


def _equal_name(world: World) -> str:
    return (
        f"n={world.n} {world.layout}, margin {world.margin:.2f}, {100 * world.differing:.0f} % differ, "
        f"correlation {world.together:g}"
    )


# ── power ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def equal_passes(pool: ProcessPoolExecutor, found: Found, quick: bool) -> dict[str, Any]:
    """How often an equal candidate passes a margin of ten points: what care costs."""
    cells = [
        World(n, layout, 0.1, differing, 0.1 if layout != "one a page" else 0.0)
        for layout, n, differing in product(LAYOUTS, NS[:4], (0.1, 0.2))
    ][:: 4 if quick else 1]
    rows = dict(zip(cells, pool.map(_equal_by_every_rule, cells), strict=True))
    print(f"an equal candidate is promoted, margin 10 points:\n{'':<62}{'ratchet':>10}{'t-test by question':>20}")
    for world, rate in rows.items():
        print(f"{_equal_name(world):<62}{100 * rate['ratchet']:>9.0f}%{100 * rate['t-test by question']:>19.0f}%")
    return {world.name: rate for world, rate in rows.items()}


def _equal_by_every_rule(world: World) -> dict[str, float]:
    says = _say(world, draw(world, _rng(world, 3), 1_000, equal=True))
    return {rule: float(np.mean(says[rule])) for rule in ("ratchet", "t-test by question")}


# ── shared ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _rng(world: World, salt: int) -> np.random.Generator:
    shape = (world.n, int(1_000 * world.margin), int(1_000 * world.differing), int(10 * world.together))
    return np.random.default_rng([SEED, salt, *shape, world.graded, len(world.harm), len(world.layout)])


def _summary(rates: Sequence[Rate]) -> dict[str, float]:
    worst = max(rates, key=lambda rate: rate.share)
    least = min(rates, key=lambda rate: rate.share)
    return {
        "cells": len(rates),
        "mean": round(float(np.mean([rate.share for rate in rates])), 5),
        "highest": round(worst.share, 5),
        "highest_error": round(worst.error, 5),
        "lowest": round(least.share, 5),
        "lowest_error": round(least.error, 5),
    }


def _shown(results: Iterator[Any], count: int) -> Iterator[Any]:
    """The same results; says how far it is now and then."""
    told = begun = time.perf_counter()
    for done, result in enumerate(results, start=1):
        if time.perf_counter() - told > 15:
            told = time.perf_counter()
            print(f"{done} of {count} cells, {told - begun:.0f} s", file=sys.stderr, flush=True)
        yield result


SECTIONS: dict[str, Callable[[ProcessPoolExecutor, Found, bool], dict[str, Any]]] = {
    "false promotion": false_promotion,
    "floors": false_floors,
    "slices": false_slices,
    "asked for": asked_for,
    "power": equal_passes,
}


if __name__ == "__main__":
    main()
