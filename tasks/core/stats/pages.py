"""Pages: what golden questions come in. Questions about one page succeed and fail together, so pages are counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tasks.core.labels import Label
from tasks.core.stats.draws import on_grid

if TYPE_CHECKING:
    from tasks.core.stats.draws import Floats

ASSUMED_CORRELATION = 0.3  # of answers about one page, before anything was seen
ASSUMED_WEIGHT = 5  # it counts as much as this many pages on which something was seen


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


@dataclass(frozen=True, slots=True, eq=False)
class Pages:
    """Values summed by page: one column a metric, all of them on the grid and so exact."""

    sums: Floats  # (pages, metrics)
    sizes: Floats  # (pages,): questions
    squares: Floats  # (metrics,): sum of the squared values of single questions

    @property
    def count(self) -> int:
        """Pages."""
        return int(self.sizes.size)

    @property
    def questions(self) -> float:
        """Questions on all of them."""
        return float(self.sizes.sum())

    @property
    def means(self) -> Floats:
        """(metrics,): means over questions."""
        return np.asarray(self.sums.sum(axis=0) / self.questions)

    @property
    def spreads(self) -> Floats:
        """(metrics,): standard deviations of single questions."""
        return np.sqrt(np.maximum(0.0, self.squares / self.questions - self.means**2))

    @property
    def page_size(self) -> float:
        """Questions on the page of a question, on average (Kish 1965). Pages of equal size: that size."""
        return float((self.sizes**2).sum() / self.questions)

    @property
    def large_page(self) -> float:
        """Questions on the page of a lost question, were pages the likelier lost the larger they are."""
        return float((self.sizes**3).sum() / (self.sizes**2).sum())

    @property
    def design_effects(self) -> Floats:
        """(metrics,): 1 + (questions per page - 1) × correlation within pages (Kish 1965).

        The correlation is the observed one, held up by the assumed one while few pages show any difference.
        """
        size = self.page_size
        if size <= 1 or self.count < 2:
            return np.full(self.sums.shape[1], max(1.0, size))
        simple, seen = self.spreads**2, np.count_nonzero(self.sums, axis=0)
        clustered = deviations(self).sum(axis=0) * self.count / (self.count - 1) / self.questions
        observed = np.maximum(0.0, (clustered / np.where(simple > 0, simple, 1.0) - 1) / (size - 1))
        observed, seen = np.where(simple > 0, observed, 0.0), np.where(simple > 0, seen, 0)
        held_up = (seen * observed + ASSUMED_WEIGHT * ASSUMED_CORRELATION) / (seen + ASSUMED_WEIGHT)
        return np.asarray(1 + (size - 1) * np.minimum(1.0, np.maximum(observed, held_up)))


def pages_of(values: Sequence[float] | Floats, clusters: Sequence[int]) -> Pages:
    """values: (questions,), or (questions, metrics) of several metrics that are known on the same questions."""
    x = on_grid(np.asarray(values, dtype=np.float64))
    x = x.reshape(len(x), -1)
    _, member = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.stack([np.bincount(member, weights=column) for column in x.T], axis=1).astype(np.float64)
    return Pages(sums, np.bincount(member).astype(np.float64), on_grid(x * x).sum(axis=0))


def deviations(pages: Pages) -> Floats:
    """(pages, metrics): squared distance of a page's sum from what it would be at the mean."""
    return (pages.sums - pages.means * pages.sizes[:, None]) ** 2
