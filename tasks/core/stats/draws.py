"""What the bootstrap draws: the same integers for the same seed on every machine, multiplied exactly.

Values are held to 1/65536 and weights are integers below 2^16, so every product and every partial sum of `weigh` is a
multiple of 1/65536. For up to two million questions it stays below 2^37, and a float64 holds it exactly. So the order
of adding changes nothing: neither do the number of threads, the BLAS or the processor.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Drawn = NDArray[np.uint8] | NDArray[np.uint16]

GRID = 65_536
ONE = 4_096  # the weight 1, as an integer
_BLOCK = 1 << 15  # numbers at a time: in the cache, and so few that BLAS does not wait for a second thread


@dataclass(frozen=True, slots=True)
class Resampling:
    """How the bootstrap draws. The same seed gives the same bounds."""

    seed: int = 20_260_101
    resamples: int = 10_000


def on_grid(values: Floats) -> Floats:
    """The nearest multiples of 1/65536."""
    return np.round(values * GRID) / GRID


@lru_cache(maxsize=4)
def times_drawn(how: Resampling, pages: int) -> Drawn:
    """(resamples, pages): how often each page was drawn when as many were drawn as there are, with repeats.

    Kept, because every metric draws the same ones. (More than 255 times the same one of at least 256: one chance in
    10^500.)
    """
    stream = np.random.PCG64(how.seed)
    return np.concatenate([_counted(stream, rows, pages) for rows in _blocks(how.resamples, pages)])


def _counted(stream: np.random.PCG64, rows: int, pages: int) -> Drawn:
    drawn = (_raw(stream, rows * pages, "<u4").astype(np.uint64) * np.uint64(pages)) >> np.uint64(32)
    cells = drawn.astype(np.int64) + np.repeat(np.arange(rows, dtype=np.int64) * pages, pages)
    return np.bincount(cells, minlength=rows * pages).astype(np.uint8).reshape(rows, pages)


@lru_cache(maxsize=4)
def page_weights(how: Resampling, pages: int) -> Drawn:
    """(resamples, pages + 1): exponential weights in units of 1/4096, one column for each page and one for one more.

    Exponential weights over their sum are the spacings of uniform numbers (the Bayesian bootstrap, Rubin 1981).
    """
    chances = _raw(np.random.PCG64([how.seed, 1]), how.resamples * (pages + 1), "<u2")
    return np.asarray(_exponential()[chances].reshape(how.resamples, pages + 1))


def weigh(drawn: Drawn, columns: Floats) -> Floats:
    """drawn @ columns, exactly. columns: (pages, metrics), on the grid."""
    parts, at = [], 0
    for rows in _blocks(*drawn.shape):
        parts.append(drawn[at : at + rows].astype(np.float64) @ columns)
        at += rows
    return np.concatenate(parts)


def _blocks(rows: int, columns: int) -> Iterator[int]:
    """Row counts that add up, of blocks that fit the processor's cache."""
    most = max(1, _BLOCK // columns)
    yield from [most] * (rows // most)
    if rows % most:
        yield rows % most


def _raw(stream: np.random.PCG64, count: int, kind: str) -> NDArray[np.unsignedinteger]:
    """The next `count` numbers of a raw stream of 64 bits each, cut into pieces of that kind."""
    whole = -(-count * np.dtype(kind).itemsize // 8)
    return stream.random_raw(whole).astype("<u8", copy=False).view(kind)[:count]


@lru_cache(maxsize=1)
def _exponential() -> Drawn:
    """The exponential quantiles of 65,536 equal chances. None lies near enough to a half for rounding to differ."""
    chances = (np.arange(GRID) + 0.5) / GRID
    return np.round(-np.log(chances) * ONE).astype(np.uint16)
