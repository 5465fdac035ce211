"""How sure a mean or a difference is: paired, clustered, deterministic by seed, careful when little was seen.

Two bounds are computed and the wider one counts:

- the studentised bootstrap (bootstrap-t) over clusters, which follows the shape of the data (Efron & Tibshirani 1993,
  ch. 12; clusters as in Cameron, Gelbach & Miller 2008). Percentile and normal bounds are liberal below n = 100;
- the score bound on the effective number of questions (Tango 1998 for differences, Wilson 1927 for shares). Where few
  or no answers differ a bootstrap sees no spread and calls its guess certain; this one does not: 30 of 30 equal
  answers leave room for 8 points of harm.

Sums are exact (values are held to 1/65536) and the draws come from PCG64's raw stream, so that the same evidence gives
the same numbers on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, comb, inf, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from tasks.core.labels import Label

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

POWER = 0.8
ASSUMED_CORRELATION = 0.3  # of answers about one page, before anything was seen
ASSUMED_WEIGHT = 5  # it counts as much as this many clusters in which something was seen
_GRID = 65_536


@dataclass(frozen=True, slots=True)
class Resampling:
    """How the bootstrap draws. The same seed gives the same bounds."""

    seed: int = 20_260_101
    resamples: int = 10_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with one-sided bounds, each of which the truth lies beyond with probability alpha at most."""

    mean: float
    lower: float
    upper: float
    n: int
    clusters: int
    spread: float  # standard deviation of one question
    design_effect: float  # how many of these questions say as much as one independent question


def clusters_of(labels: Sequence[Label]) -> list[int]:
    """One number per label; labels that share a page, directly or through others, share the number."""
    first_with: dict[str, int] = {}
    parent = list(range(len(labels)))

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    for i, label in enumerate(labels):
        for document in label.documents:
            low, high = sorted((root(i), root(first_with.setdefault(document, i))))
            parent[high] = low
    return [root(i) for i in range(len(labels))]


def estimate_difference(
    differences: Sequence[float], clusters: Sequence[int], *, alpha: float, how: Resampling
) -> Estimate:
    """The mean of paired differences, each from -1 to 1, with bounds. Needs one question at least."""

    def score_bounds(d: Floats, weight: float, z: float) -> tuple[float, float]:
        gains, losses, n = float(d[d > 0].sum()) * weight, float(-d[d < 0].sum()) * weight, d.size * weight
        return tango_lower(gains, losses, n, z), -tango_lower(losses, gains, n, z)

    return _estimate(differences, clusters, alpha, how, score_bounds, least=-1.0)


def estimate_share(values: Sequence[float], clusters: Sequence[int], *, alpha: float, how: Resampling) -> Estimate:
    """The mean of values from 0 to 1, with bounds. Needs one question at least."""

    def score_bounds(x: Floats, weight: float, z: float) -> tuple[float, float]:
        n, share = x.size * weight, float(x.mean())
        return wilson_lower(share, n, z), 1 - wilson_lower(1 - share, n, z)

    return _estimate(values, clusters, alpha, how, score_bounds, least=0.0)


def _estimate(
    values: Sequence[float],
    clusters: Sequence[int],
    alpha: float,
    how: Resampling,
    score_bounds: Callable[[Floats, float, float], tuple[float, float]],
    *,
    least: float,
) -> Estimate:
    x = np.round(np.asarray(values, dtype=np.float64) * _GRID) / _GRID
    _, member = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.bincount(member, weights=x).astype(np.float64)
    sizes = np.bincount(member).astype(np.float64)
    effect = _design_effect(x, sums, sizes)
    low, high = score_bounds(x, 1 / effect, NormalDist().inv_cdf(1 - alpha))
    boot_low, boot_high = _bootstrap_t(sums, sizes, alpha, how)
    return Estimate(
        mean=float(x.mean()),
        lower=max(least, min(low, boot_low)),
        upper=min(1.0, max(high, boot_high)),
        n=x.size,
        clusters=sums.size,
        spread=float(x.std()),
        design_effect=effect,
    )


def _design_effect(x: Floats, sums: Floats, sizes: Floats) -> float:
    """1 + (questions per cluster - 1) × correlation within clusters (Kish 1965).

    The correlation is the observed one, held up by the assumed one while few clusters show any difference.
    """
    size = float((sizes**2).sum()) / x.size
    if size <= 1 or sums.size < 2:
        return max(1.0, size)
    simple = float(x.var())
    clustered = float(((sums - x.mean() * sizes) ** 2).sum()) * sums.size / (sums.size - 1) / x.size
    observed = max(0.0, (clustered / simple - 1) / (size - 1)) if simple else 0.0
    seen = int(np.count_nonzero(sums)) if simple else 0
    held_up = (seen * observed + ASSUMED_WEIGHT * ASSUMED_CORRELATION) / (seen + ASSUMED_WEIGHT)
    return 1 + (size - 1) * min(1.0, max(observed, held_up))


def tango_lower(gains: float, losses: float, n: float, z: float) -> float:
    """Lower bound of (gains - losses) / n of paired questions: where Tango's score statistic equals z.

    Counts may be fractions. Without any difference it is -z² / (n + z²).
    """
    low, high = -1.0, (gains - losses) / n
    for _ in range(50):
        middle = (low + high) / 2
        if _tango(gains, losses, n, middle) > z:
            low = middle
        else:
            high = middle
    return low


def _tango(gains: float, losses: float, n: float, difference: float) -> float:
    b = -gains - losses + (2 * n - gains + losses) * difference
    c = -losses * difference * (1 - difference)
    loss_rate = (sqrt(max(0.0, b * b - 8 * n * c)) - b) / (4 * n)
    variance = n * (2 * loss_rate + difference * (1 - difference))
    distance = gains - losses - n * difference
    if variance <= 0:
        return inf if distance > 0 else 0.0
    return distance / sqrt(variance)


def wilson_lower(share: float, n: float, z: float) -> float:
    """Lower bound of a share of n questions."""
    z2 = z * z
    return (share + z2 / (2 * n) - z * sqrt(share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)


def _bootstrap_t(sums: Floats, sizes: Floats, alpha: float, how: Resampling) -> tuple[float, float]:
    """Bounds of the ratio of sums to sizes; unbounded for a single cluster."""
    k, one_question = sums.size, 1 / float(sizes.sum())
    if k < 2:
        return -inf, inf
    seen, error = _mean_and_error(np.ones((1, k)), sums, sizes, one_question)
    drawn, errors = _mean_and_error(_weights(how.seed, how.resamples, k), sums, sizes, one_question)
    t = np.sort((drawn - seen[0]) / errors)
    low, high = t[int(alpha * t.size)], t[min(t.size - 1, ceil((1 - alpha) * t.size))]
    return float(seen[0] - high * error[0]), float(seen[0] - low * error[0])


def _mean_and_error(weights: Floats, sums: Floats, sizes: Floats, least: float) -> tuple[Floats, Floats]:
    """Per row of weights: the ratio mean and its clustered standard error, never below that of one question."""
    s, n, ss, sn, nn = (weights @ np.stack([sums, sizes, sums * sums, sums * sizes, sizes * sizes], axis=1)).T
    mean = s / n
    squares = np.maximum(0.0, ss - 2 * mean * sn + mean * mean * nn) * sums.size / (sums.size - 1)
    return mean, np.maximum(np.sqrt(squares) / n, least)


@lru_cache(maxsize=4)
def _weights(seed: int, resamples: int, clusters: int) -> Floats:
    """(resamples, clusters): how often each cluster was drawn. Kept, because every metric draws the same ones."""
    raw = np.random.PCG64(seed).random_raw(resamples * clusters).reshape(resamples, clusters)
    drawn = ((raw >> np.uint64(32)) * np.uint64(clusters)) >> np.uint64(32)
    cells = drawn.astype(np.int64) + np.arange(resamples, dtype=np.int64)[:, None] * clusters
    return np.bincount(cells.ravel(), minlength=resamples * clusters).reshape(resamples, clusters).astype(np.float64)


def sign_test(better: int, worse: int) -> float:
    """Chance of at least `better` improvements among better + worse, were both equally likely. Exact.

    >>> sign_test(5, 0), sign_test(0, 0)
    (0.03125, 1.0)
    """
    n = better + worse
    return float(sum(comb(n, k) for k in range(better, n + 1)) / 2**n)


def smallest_decidable_margin(spread: float, n: float, *, alpha: float = 0.05) -> float:
    """The margin at which n questions find an equal candidate not worse with a power of 80 %: 2.486 · spread / √n.

    >>> round(smallest_decidable_margin(0.316, 1600), 3)
    0.02
    """
    return _z_both(alpha) * spread / sqrt(n)


def questions_needed(estimate: Estimate, distance: float, *, alpha: float) -> int:
    """How many such questions would decide, with a power of 80 %, something `distance` away from what was seen.

    Never fewer than it takes to exclude that much harm when no answer differs at all.
    """
    z = NormalDist().inv_cdf(1 - alpha)
    by_spread = (_z_both(alpha) * estimate.spread / distance) ** 2
    without_any = z * z * (1 - distance) / distance
    return max(estimate.n + 1, ceil(max(by_spread, without_any) * estimate.design_effect))


def least_questions(margin: float, *, alpha: float) -> int:
    """Independent questions it takes to exclude a loss of `margin` when both sides answer all of them alike."""
    z = NormalDist().inv_cdf(1 - alpha)
    return ceil(z * z * (1 - margin) / margin)


def _z_both(alpha: float) -> float:
    return NormalDist().inv_cdf(1 - alpha) + NormalDist().inv_cdf(POWER)
