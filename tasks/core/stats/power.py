"""How many golden questions would decide."""

from __future__ import annotations

from math import floor, log, sqrt
from statistics import NormalDist

from tasks.core.stats.bounds import LOST_OF_A_PAGE, unseen_share
from tasks.core.stats.estimates import Estimate

POWER = 0.8
_PLANNED = 0.85  # because spread and correlation are known from few questions: 80 % are reached with it
_MORE_DIFFERING = 4  # questions that are assumed to differ besides those seen, for the same reason


def least_questions(margin: float, *, alpha: float) -> int:
    """Questions on as many pages that it takes to exclude a loss of `margin` when both sides answer all of them alike.

    >>> least_questions(0.1, alpha=0.05)
    29
    """
    return floor(log(alpha) / log(1 - margin)) + 1


def questions_needed(estimate: Estimate, distance: float, *, alpha: float) -> int:
    """How many such questions would decide, with a power of 80 %, something `distance` away from what was seen.

    Such questions: as alike within pages, and as many on a page. More than were asked, always.
    """
    low = estimate.n
    high = 2 * low
    while not _decide(high, estimate, distance, alpha):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _decide(middle, estimate, distance, alpha) else (middle, high)
    return high


def _decide(n: int, seen: Estimate, distance: float, alpha: float) -> bool:
    """Whether that many keep the bounds within `distance` often enough."""
    inverse = NormalDist().inv_cdf
    z, power = inverse(1 - alpha), inverse(_PLANNED)
    differing = (seen.n * seen.spread**2 + _MORE_DIFFERING) / (seen.n + _MORE_DIFFERING)
    error = sqrt(differing * seen.design_effect / n)
    page = (1 + (seen.large_page - 1) * LOST_OF_A_PAGE) / n  # one page more, as a share of all questions
    by_one_more = page + sqrt((z * error) ** 2 + ((-log(alpha) - 1) * page) ** 2)
    by_unseen = unseen_share(n / seen.page_size, alpha)
    return power * error + max(by_one_more, by_unseen) < distance
