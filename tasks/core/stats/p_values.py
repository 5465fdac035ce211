"""How surprising what was seen would be, were there no harm."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb, inf, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from tasks.core.stats.bounds import studentised
from tasks.core.stats.draws import on_grid
from tasks.core.stats.pages import Pages, pages_of

if TYPE_CHECKING:
    from tasks.core.stats.draws import Floats, Resampling


def p_worse(differences: Sequence[float], clusters: Sequence[int], *, margin: float, how: Resampling) -> float:
    """Chance of losing as much as was seen, or more, if the truth were a loss of `margin`; the largest of three tests.

    Small means surely worse than -margin. The score test on the effective number of questions (Tango 1998) holds where
    answers hardly differ, the bootstrap-t over pages where they differ in shape, and 1/2 to the power of the pages is
    the least that turning signs by page can reach: 4 pages prove nothing at 5 %, however many questions they hold.
    """
    pages = pages_of(differences, clusters)
    if pages.count < 2:
        return 1.0
    mean, error, t = studentised(pages, how)
    as_low = int(np.count_nonzero(t[:, 0] <= (mean[0] + margin) / error[0]))
    by_score = _score_test(on_grid(np.asarray(differences, dtype=np.float64)), pages, margin)
    return float(max(by_score, (1 + as_low) / (1 + how.resamples), 0.5**pages.count))


def _score_test(x: Floats, pages: Pages, margin: float) -> float:
    weight = 1 / float(pages.design_effects[0])
    gains, losses = float(x[x > 0].sum()) * weight, float(-x[x < 0].sum()) * weight
    return 1 - NormalDist().cdf(tango(losses, gains, x.size * weight, margin))


def tango(gains: float, losses: float, n: float, difference: float) -> float:
    """Tango's score statistic (1998) of (gains - losses) / n of paired questions lying above `difference`.

    Counts may be fractions.
    """
    b = -gains - losses + (2 * n - gains + losses) * difference
    c = -losses * difference * (1 - difference)
    loss_rate = (sqrt(max(0.0, b * b - 8 * n * c)) - b) / (4 * n)
    variance = n * (2 * loss_rate + difference * (1 - difference))
    distance = gains - losses - n * difference
    if variance <= 0:
        return inf if distance > 0 else 0.0
    return distance / sqrt(variance)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number, in the same order (Holm 1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=lambda at: p_values[at])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, at in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[at]))
        adjusted[at] = highest
    return adjusted


def sign_test(better: int, worse: int) -> float:
    """Chance of at least `better` improvements among better + worse, were both equally likely. Exact.

    >>> sign_test(5, 0), sign_test(0, 0)
    (0.03125, 1.0)
    """
    n = better + worse
    return float(sum(comb(n, k) for k in range(better, n + 1)) / 2**n)


def wilson_lower(share: float, n: float, z: float) -> float:
    """Lower bound of a share of n questions (Wilson 1927)."""
    z2 = z * z
    return (share + z2 / (2 * n) - z * sqrt(share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
