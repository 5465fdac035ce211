"""One snapshot in memory, ready to be searched: a matrix of vectors and the postings of exactly its chunks.

Number of chunks, document frequencies and average length are the snapshot's own, so a score is the same for as long as
the snapshot can be read, whatever is ingested later. Building costs one sort of all (word, chunk) pairs.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from tasks.core.retrieval import best, bm25_weights, fuse, words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks.core.releases import RetrievalSettings

    Floats = NDArray[np.float64]

# How the words of a chunk are stored beside it. A word is its 64-bit hash: among a million different words the chance
# that any two share one is 3 in 100 million, and the price would be a slightly wrong count.
POSTING = np.dtype([("word", "<u8"), ("count", "<u4")])

SIMILARITY_DECIMALS = 6  # below float32 noise between numerical libraries; keeps ties and answers the same


@lru_cache(maxsize=200_000)
def _word_hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")


def pack_words(text: str) -> bytes:
    """The words of a text with their counts, as POSTING records."""
    counts = Counter(words(text))
    return np.array([(_word_hash(word), count) for word, count in counts.items()], dtype=POSTING).tobytes()


@dataclass(frozen=True, slots=True)
class Found:
    """One chunk of a result: its row in the store, the fused score, and the cosine."""

    rowid: int
    score: float
    similarity: float


class SnapshotView:
    """The chunks alive at one snapshot. rows: (rowid, packed words, vector bytes), sorted by chunk id."""

    def __init__(self, rows: Sequence[tuple[int, bytes, bytes]]) -> None:
        self._rowids = [rowid for rowid, _, _ in rows]
        self._matrix = np.frombuffer(b"".join(vector for _, _, vector in rows), dtype="<f4")
        self._matrix = self._matrix.reshape(len(rows), -1) if rows else self._matrix.reshape(0, 0)
        postings = np.frombuffer(b"".join(packed for _, packed, _ in rows), dtype=POSTING)
        sizes = [len(packed) // POSTING.itemsize for _, packed, _ in rows]
        owners = np.repeat(np.arange(len(rows)), sizes)
        self._lengths: Floats = np.bincount(owners, weights=postings["count"], minlength=len(rows)).astype(np.float64)
        order = np.argsort(postings["word"], kind="stable")
        self._words = postings["word"][order]
        self._counts = postings["count"][order].astype(np.float64)
        self._owners = owners[order]

    def search(self, text: str, vector: NDArray[np.float32], settings: RetrievalSettings) -> list[Found]:
        """The best `settings.k` chunks, best first. Equal scores are ordered by chunk id."""
        if not self._rowids:
            return []
        cosines: Floats = (self._matrix @ vector.reshape(-1)).astype(np.float64)
        similarities = cosines.round(SIMILARITY_DECIMALS)
        scores = self._scores(text, similarities, settings)
        ranked = sorted(scores, key=lambda row: (-scores[row], row))[: settings.k]
        return [Found(self._rowids[row], scores[row], float(similarities[row])) for row in ranked]

    def _scores(self, text: str, similarities: Floats, settings: RetrievalSettings) -> dict[int, float]:
        if settings.fusion == "vector":
            return {row: float(similarities[row]) for row in best(similarities, settings.k)}
        keyword = self._bm25(text)
        if settings.fusion == "bm25":
            return {row: float(keyword[row]) for row in best(keyword, settings.k) if keyword[row] > 0}
        by_words = [row for row in best(keyword, settings.candidates) if keyword[row] > 0]
        return dict(fuse([by_words, best(similarities, settings.candidates)], settings.rrf_k))

    def _bm25(self, text: str) -> Floats:
        scores = np.zeros(len(self._rowids))
        average = float(self._lengths.mean())
        for word in sorted(set(words(text))):  # sorted: float sums depend on their order
            key = np.uint64(_word_hash(word))
            start, end = np.searchsorted(self._words, key, "left"), np.searchsorted(self._words, key, "right")
            owners = self._owners[start:end]
            scores[owners] += bm25_weights(
                self._counts[start:end],
                self._lengths[owners],
                containing=len(owners),
                documents=len(self._rowids),
                average_length=average,
            )
        return scores
