"""Three one-sided bounds of a mean over questions on pages. The widest counts, because each is blind to something.

- **The studentised bootstrap over pages** (bootstrap-t: Efron & Tibshirani 1993, ch. 12; over clusters as in Cameron,
  Gelbach & Miller 2008) follows the shape of what was seen. Where few answers differ it sees no spread and is sure.
- **One page more** (Gaffke 2005; Learned-Miller & Thomas 2020): the Bayesian bootstrap with one further page at the
  worst value. With one question a page and values of yes and no it is exact: Clopper & Pearson's bound of a share, and
  against zero the sign test. The further page is half of a large one lost, and one question at least.
- **Unseen pages**: a share 1 - alpha^(1/pages) of pages may be lost whole and none of them be in the golden set,
  alpha times in a hundred. Pages of unequal size count as Kish (1965) counts them. Without any difference on 28 pages
  10 points may be lost, on 29 not.

`benchmarks/gates/error_rates.py` measures what they add up to.
"""

from __future__ import annotations

from math import ceil, floor, inf
from typing import TYPE_CHECKING

import numpy as np

from tasks.core.stats.draws import on_grid, page_weights, times_drawn, weigh

if TYPE_CHECKING:
    from tasks.core.stats.draws import Drawn, Floats, Resampling
    from tasks.core.stats.pages import Pages

LOST_OF_A_PAGE = 0.5  # of the questions on one page more


def bounds(pages: Pages, *, alpha: float, how: Resampling, worst: float, best: float) -> tuple[Floats, Floats]:
    """(metrics,) lower and upper bounds. A single page decides nothing: its bounds are worst and best."""
    if pages.count < 2:
        return np.full_like(pages.means, worst), np.full_like(pages.means, best)
    found = (
        bootstrap_t(pages, alpha, how),
        one_page_more(pages, alpha, how, worst, best),
        unseen_pages(pages, alpha, worst, best),
    )
    lower = np.minimum.reduce([low for low, _ in found])
    upper = np.maximum.reduce([high for _, high in found])
    return np.maximum(worst, lower), np.minimum(best, upper)


def bootstrap_t(pages: Pages, alpha: float, how: Resampling) -> tuple[Floats, Floats]:
    """Bounds of the ratio of sums to sizes."""
    mean, error, t = studentised(pages, how)
    below, above = _ranks(alpha, how.resamples)
    t.partition((below, above), axis=0)
    return mean - t[above] * error, mean - t[below] * error


def studentised(pages: Pages, how: Resampling) -> tuple[Floats, Floats, Floats]:
    """Mean and standard error (metrics,), and (resamples, metrics) distances of drawn means in their own errors."""
    mean, error = standard_errors(np.ones((1, pages.count), dtype=np.uint8), pages)
    drawn, errors = standard_errors(times_drawn(how, pages.count), pages)
    return mean[0], error[0], (drawn - mean[0]) / errors


def standard_errors(drawn: Drawn, pages: Pages) -> tuple[Floats, Floats]:
    """Per row of drawn pages: the means, and their clustered standard errors, never below that of one question."""
    s, n, metrics = pages.sums, pages.sizes[:, None], pages.sums.shape[1]
    weighed = weigh(drawn, np.hstack([s, on_grid(s * s), s * n, n, n * n]))
    sums, squares, products = (weighed[:, at * metrics : (at + 1) * metrics] for at in range(3))
    sizes, sizes_squared = weighed[:, -2:-1], weighed[:, -1:]
    mean = sums / sizes
    spread = np.maximum(0.0, squares - 2 * mean * products + mean * mean * sizes_squared)
    error = np.sqrt(spread * pages.count / (pages.count - 1)) / sizes
    return mean, np.maximum(error, 1 / pages.questions)


def one_page_more(pages: Pages, alpha: float, how: Resampling, worst: float, best: float) -> tuple[Floats, Floats]:
    """Bounds by one further page at the worst value, or the best. None where all values are one: see unseen pages."""
    weights = page_weights(how, pages.count)
    weighed = weigh(weights[:, 1:], np.hstack([pages.sums, pages.sizes[:, None]]))
    sums, sizes = weighed[:, :-1], weighed[:, -1:]
    more = weights[:, :1] * (1 + (pages.large_page - 1) * LOST_OF_A_PAGE)
    below, above = _ranks(alpha, how.resamples)
    low = np.partition((sums + more * worst) / (sizes + more), below, axis=0)[below]
    high = np.partition((sums + more * best) / (sizes + more), above, axis=0)[above]
    alike = pages.spreads == 0
    return np.where(alike, inf, low), np.where(alike, -inf, high)


def unseen_pages(pages: Pages, alpha: float, worst: float, best: float) -> tuple[Floats, Floats]:
    """Bounds by the pages that may be lost, or won, without any of them being seen."""
    share = unseen_share(pages.questions / pages.page_size, alpha)
    return (1 - share) * pages.means + share * worst, (1 - share) * pages.means + share * best


def unseen_share(pages: float, alpha: float) -> float:
    """The largest share of all pages of which that many, drawn by chance, hold none with probability alpha."""
    return float(1 - alpha ** (1 / pages))


def _ranks(alpha: float, resamples: int) -> tuple[int, int]:
    """Where the alpha and 1 - alpha quantiles stand among that many, counting from 0."""
    below = max(1, floor(alpha * (resamples + 1)))
    return below - 1, min(resamples, ceil((1 - alpha) * (resamples + 1))) - 1
