"""A mean and its bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.core.stats.bounds import bounds
from tasks.core.stats.pages import pages_of

if TYPE_CHECKING:
    from tasks.core.stats.draws import Resampling


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
    page_size: float = 1.0  # questions on the page of a question, on average
    large_page: float = 1.0  # questions on a large page


def estimate_difference(
    differences: Sequence[float], clusters: Sequence[int], *, alpha: float, how: Resampling
) -> Estimate:
    """The mean of paired differences, each from -1 to 1, with bounds. Needs one question at least."""
    return _estimate(differences, clusters, alpha, how, worst=-1.0)


def estimate_share(values: Sequence[float], clusters: Sequence[int], *, alpha: float, how: Resampling) -> Estimate:
    """The mean of values from 0 to 1, with bounds. Needs one question at least."""
    return _estimate(values, clusters, alpha, how, worst=0.0)


def _estimate(
    values: Sequence[float], clusters: Sequence[int], alpha: float, how: Resampling, *, worst: float
) -> Estimate:
    pages = pages_of(values, clusters)
    lower, upper = bounds(pages, alpha=alpha, how=how, worst=worst, best=1.0)
    return Estimate(
        mean=float(pages.means[0]),
        lower=float(lower[0]),
        upper=float(upper[0]),
        n=len(values),
        clusters=pages.count,
        spread=float(pages.spreads[0]),
        design_effect=float(pages.design_effects[0]),
        page_size=pages.page_size,
        large_page=pages.large_page,
    )
