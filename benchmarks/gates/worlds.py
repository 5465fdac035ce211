"""Simulated golden sets: pages of questions, and how a candidate that truly loses a margin differs on them.

`spread`: every question has the same chance of being lost; answers about one page share their fate with the given
correlation. `whole pages`: a share of pages, drawn by chance, is lost with every question on it, and on the others
answers differ without any loss. `large pages`: the same, but a page is the likelier lost the more questions it holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tasks.core.stats.pages import Pages, pages_of

Floats = NDArray[np.float64]
Layout = Literal["one a page", "five a page", "very unequal"]
Harm = Literal["spread", "whole pages", "large pages"]

GRADES = (0.25, 0.5, 0.75, 1.0)  # how far a graded answer moves when it differs


@dataclass(frozen=True)
class World:
    """One cell of the grid."""

    n: int
    layout: Layout
    margin: float  # what the candidate truly loses
    differing: float  # share of questions on which the two differ
    together: float  # correlation within pages
    graded: bool = False
    harm: Harm = "spread"
    like: int = 0  # pages are of the sizes of a golden set of so many questions, again and again; 0: of its own size

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Questions per page."""
        return _repeated(_sizes(self.layout, self.like), self.n) if self.like else _sizes(self.layout, self.n)

    @property
    def member(self) -> NDArray[np.int64]:
        """Per question: its page."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    @property
    def possible(self) -> bool:
        """Losing that much takes that many differing answers, and a page of one question has no neighbours."""
        least = self.margin / np.mean(GRADES) if self.graded else self.margin
        if self.layout == "one a page" and (self.together or self.harm != "spread"):
            return False
        return bool(self.differing >= least - 1e-9) and not (self.graded and self.harm != "spread")

    @property
    def name(self) -> str:
        kind = "graded" if self.graded else "binary"
        return (
            f"n={self.n} {self.layout}, margin {self.margin:.2f}, {100 * self.differing:.0f} % differ, "
            f"correlation {self.together:g}, {kind}, {self.harm}"
        )


def _sizes(layout: Layout, n: int) -> NDArray[np.int64]:
    """Very unequal: five on average, and sizes fall as 1 / rank^0.7."""
    if layout == "one a page":
        return np.ones(n, dtype=np.int64)
    if layout == "five a page":
        return np.full(n // 5, 5, dtype=np.int64)
    pages = n // 5
    shares = 1 / np.arange(1, pages + 1) ** 0.7
    sizes = np.maximum(1, np.floor(shares / shares.sum() * n)).astype(np.int64)
    sizes[: n - int(sizes.sum())] += 1
    return sizes


def _repeated(sizes: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    many = np.tile(sizes, -(-n // int(sizes.sum())))
    shuffled = np.random.default_rng(0).permutation(many)
    ends = np.minimum(np.cumsum(shuffled), n)
    return np.diff(ends, prepend=0)[np.diff(ends, prepend=0) > 0]


def draw(world: World, rng: np.random.Generator, times: int, *, equal: bool = False) -> Floats:
    """(times, questions): differences, of golden sets drawn anew each time. equal: the candidate loses nothing."""
    sizes, member = world.sizes, world.member
    lost_whole = world.harm != "spread"
    differing = (world.differing - world.margin) / (1 - world.margin) if lost_whole else world.differing
    harm = 0.0 if lost_whole or equal else world.margin / (float(np.mean(GRADES)) if world.graded else 1.0)
    values = _differences(rng, (times, len(member)), differing, harm, world.graded)
    if world.together:
        fate = _differences(rng, (times, len(sizes)), differing, harm, world.graded)[:, member]
        values = np.where(rng.random(values.shape) < sqrt(world.together), fate, values)
    if lost_whole and not equal:
        chance = np.full(len(sizes), world.margin)
        if world.harm == "large pages":
            chance = np.minimum(1.0, world.margin * sizes * sizes.sum() / (sizes**2).sum())
        values = np.where((rng.random((times, len(sizes))) < chance)[:, member], -1.0, values)
    return values


def _differences(
    rng: np.random.Generator, shape: tuple[int, int], differing: float, harm: float, graded: bool
) -> Floats:
    chance = rng.random(shape)
    lost, won = (differing + harm) / 2, (differing - harm) / 2
    values = np.where(chance < lost, -1.0, np.where(chance > 1 - won, 1.0, 0.0))
    return values * rng.choice(GRADES, size=shape) if graded else values


def pages_of_draws(world: World, values: Floats) -> Pages:
    """Each golden set as a metric of its own, so that all are judged in one product."""
    return pages_of(values.T, world.member.tolist())
