"""How chunks are ranked for a question: BM25, reciprocal rank fusion, and ties that always break the same way."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BM25_K1 = 1.2
BM25_B = 0.75

_WORD = re.compile(r"[^\W_]+(?:(?:(?<=\d)[.,](?=\d)|['’])[^\W_]+)*")


def words(text: str) -> list[str]:
    """The words BM25 counts: lower case, any script, with numbers and names such as `2.5` and `don't` kept whole.

    >>> words("The Halden-300 runs at 2.5 bar, don't it?")
    ['the', 'halden', '300', 'runs', 'at', '2.5', 'bar', "don't", 'it']
    """
    return _WORD.findall(text.lower())


def bm25_weights(
    frequency: Floats, length: Floats, *, containing: int, documents: int, average_length: float
) -> Floats:
    """What one query term adds to each chunk that contains it.

    frequency, length: (n,) of the term in each chunk, and of each chunk in words. containing: chunks with the term.
    Robertson & Zaragoza 2009, k1 = 1.2, b = 0.75, with the idf of Lucene, ln(1 + (N - n + 0.5) / (n + 0.5)), which
    is never negative.
    """
    idf = np.log(1 + (documents - containing + 0.5) / (containing + 0.5))
    norm = BM25_K1 * (1 - BM25_B + BM25_B * length / max(average_length, 1e-9))
    weights: Floats = idf * frequency * (BM25_K1 + 1) / (frequency + norm)
    return weights


def best(scores: Floats, count: int) -> list[int]:
    """Rows of the `count` highest scores, best first; among equals the smaller row, so sort rows by chunk id.

    >>> best(np.array([0.1, 0.7, 0.7, 0.9]), 3)
    [3, 1, 2]
    """
    if count >= len(scores):
        candidates = np.arange(len(scores))
    else:
        smallest_kept = np.partition(scores, -count)[-count]
        candidates = np.flatnonzero(scores >= smallest_kept)
    order = np.lexsort((candidates, -scores[candidates]))
    return [int(row) for row in candidates[order][:count]]


def fuse(rankings: Sequence[Sequence[int]], k: int = 60) -> Mapping[int, float]:
    """Reciprocal rank fusion: Σ 1 / (k + rank), rank from 1 (Cormack et al. 2009, k = 60).

    >>> {row: round(score, 4) for row, score in fuse([[7, 3], [3]]).items()}
    {7: 0.0164, 3: 0.0325}
    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, row in enumerate(ranking, start=1):
            scores[row] = scores.get(row, 0.0) + 1 / (k + rank)
    return scores
