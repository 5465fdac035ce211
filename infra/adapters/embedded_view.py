"""One snapshot in memory, ready to be searched: a matrix of vectors and the postings of exactly its chunks.

Number of chunks, document frequencies and average length are the snapshot's own, so a score is the same for as long as
the snapshot can be read, whatever is ingested later. Building costs one sort of all (word, chunk) pairs, after which
it is known what each pair adds to a score.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from tasks.core.retrieval import best, bm25_weights, candidates_wanted, ranked, terms, words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks.core.releases import RetrievalSettings

    Floats = NDArray[np.float64]
    Rows = NDArray[np.intp]
    Row = tuple[int, bytes, bytes, str, str]  # rowid, packed words, vector bytes, document, heading path as JSON

# How the words of a chunk are stored beside it. A word is its 64-bit hash: among a million different words the chance
# that any two share one is 3 in 100 million, and the price would be a slightly wrong count.
POSTING = np.dtype([("word", "<u8"), ("count", "<u4")])

SIMILARITY_DECIMALS = 6  # far above what the order of additions can change in float64: equal texts are equal
BLOCK = 1024  # chunks multiplied at once; OpenBLAS spreads larger products over threads that wait for each other
PORTION = 1 << 18  # postings weighed at once
MASKS_KEPT = 8  # filters whose chunks are remembered


class _Keys(dict[str, int]):
    """Word → the 64-bit hash of its term, 0 for a stop word; looked up millions of times, so a plain dictionary."""

    LIMIT = 500_000

    def __missing__(self, word: str) -> int:
        if len(self) >= self.LIMIT:
            self.clear()
        found = terms(word)
        self[word] = key = _hash(found[0]) if found else 0
        return key


def _hash(term: str) -> int:
    return int.from_bytes(hashlib.blake2b(term.encode(), digest_size=8).digest(), "little")


_KEYS = _Keys()


def pack_words(text: str) -> bytes:
    """The terms of a text with their counts, as POSTING records."""
    keys = np.fromiter(map(_KEYS.__getitem__, words(text)), dtype="<u8")
    found, counts = np.unique(keys[keys > 0], return_counts=True)
    packed = np.empty(len(found), dtype=POSTING)
    packed["word"], packed["count"] = found, counts
    return packed.tobytes()


@dataclass(frozen=True, slots=True)
class Found:
    """One chunk of a result: its row in the store, the fused score, and the cosine."""

    rowid: int
    score: float
    similarity: float


class SnapshotView:
    """The chunks alive at one snapshot. rows: sorted by chunk id, read once. Safe to search from several threads."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._blocks: list[NDArray[np.float32]] = []  # (dimensions, chunks): products run along contiguous memory
        self._places: dict[tuple[str, str], int] = {}  # (document, heading path) → its number
        self._masks: dict[tuple[tuple[str, ...], tuple[str, ...]], Rows] = {}
        rowids: list[int] = []
        places: list[int] = []
        sizes: list[int] = []
        packed = [bytearray()]
        unread = iter(rows)
        while block := list(islice(unread, BLOCK)):
            vectors = np.frombuffer(b"".join(row[2] for row in block), dtype="<f4")
            self._blocks.append(np.ascontiguousarray(vectors.reshape(len(block), -1).T))
            for rowid, counted, _, document, path in block:
                rowids.append(rowid)
                places.append(self._places.setdefault((document, path), len(self._places)))
                sizes.append(len(counted) // POSTING.itemsize)
                packed[0] += counted
        self._rowids = np.array(rowids, dtype=np.int64)
        self._all = np.arange(len(rowids))
        self._place = np.array(places, dtype=np.uint32)
        self._weigh(packed.pop(), sizes)  # its only owner: it is let go of as soon as it is read

    def search(self, text: str, vector: NDArray[np.float32], settings: RetrievalSettings) -> list[Found]:
        """The best `settings.wanted` chunks that it admits, best first. Equal scores are ordered by chunk id."""
        rows = self._admitted(settings)
        count = min(candidates_wanted(settings), len(rows))
        if count == 0:
            return []
        question = vector.reshape(-1)
        near = self._nearest(question, rows, count) if settings.fusion != "bm25" else []
        worded = self._worded(text, rows, count) if settings.fusion != "vector" else []
        best_rows = ranked(worded, near, settings)
        cosines = dict(near)
        others = [row for row, _ in best_rows if row not in cosines]
        cosines |= zip(others, self._similarities(question, others), strict=True)
        return [Found(int(self._rowids[row]), score, cosines[row]) for row, score in best_rows]

    # ── filters ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _admitted(self, settings: RetrievalSettings) -> Rows:
        """The rows that may be found, ascending."""
        key = (settings.documents, settings.headings)
        if not any(key):
            return self._all
        known = self._masks.get(key)
        if known is None:
            admitted = [settings.admits(document, json.loads(path)) for document, path in self._places]
            known = np.flatnonzero(np.array(admitted, dtype=bool)[self._place])
            if len(self._masks) >= MASKS_KEPT:
                self._masks.clear()
            self._masks[key] = known
        return known

    # ── by vector ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _nearest(self, question: NDArray[np.float32], rows: Rows, count: int) -> list[tuple[int, float]]:
        """The `count` most similar of the rows, and those that are as similar as the last of them.

        All are compared in float32, which is off by less than dimensions · 2⁻²³ for unit vectors; what could be among
        the best by that measure is compared again in float64.
        """
        rough = np.concatenate([question @ block for block in self._blocks])[rows]
        slack = len(question) * 2.0**-23 + 10.0**-SIMILARITY_DECIMALS
        chosen = rows[rough >= np.partition(rough, -count)[-count] - slack].tolist()
        return list(zip(chosen, self._similarities(question, chosen), strict=True))

    def _similarities(self, question: NDArray[np.float32], rows: list[int]) -> list[float]:
        exact: list[float] = []
        for portion in (rows[at : at + BLOCK] for at in range(0, len(rows), BLOCK)):
            vectors = np.stack([self._blocks[row // BLOCK][:, row % BLOCK] for row in portion])
            products = vectors.astype(np.float64) @ question.astype(np.float64)
            exact += products.round(SIMILARITY_DECIMALS).tolist()
        return exact

    # ── by words ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _weigh(self, packed: bytearray, sizes: list[int]) -> None:
        """Sorts the postings by word; what each adds to its chunk's score depends on nothing but this snapshot."""
        chunks = len(sizes)
        postings = np.frombuffer(packed, dtype=POSTING)
        keys, counts = postings["word"].copy(), postings["count"].copy()
        del postings, packed
        owners = np.repeat(np.arange(chunks, dtype=np.uint32), sizes)
        lengths: Floats = np.bincount(owners, weights=counts, minlength=chunks).astype(np.float64)
        order = np.argsort(keys, kind="stable")
        self._owners, sorted_words, counts = owners[order], keys[order], counts[order]
        del owners, keys, order
        self._weights: Floats = np.empty(len(counts))
        first = np.flatnonzero(np.diff(sorted_words, prepend=sorted_words[:1] + np.uint64(1)))
        self._words = sorted_words[first]
        self._starts = np.append(first, len(counts))
        containing = np.diff(self._starts)
        for at in _portions(len(counts)):
            self._weights[at] = bm25_weights(
                counts[at].astype(np.float64),
                lengths[self._owners[at]],
                containing=containing[np.searchsorted(self._words, sorted_words[at])],
                documents=chunks,
                average_length=float(lengths.mean()),
            )

    def _worded(self, text: str, rows: Rows, count: int) -> list[tuple[int, float]]:
        """The `count` of the rows with the highest BM25 scores, of those that hold a word of the text."""
        spans = list(self._spans(text))
        if not spans:
            return []
        owners = np.concatenate([self._owners[span] for span in spans])
        weights = np.concatenate([self._weights[span] for span in spans])
        scores: Floats = np.bincount(owners, weights=weights, minlength=len(self._rowids))[rows].astype(np.float64)
        return [(int(rows[at]), float(scores[at])) for at in best(scores, count) if scores[at] > 0]

    def _spans(self, text: str) -> Iterator[slice]:
        """Where the postings of the text's words lie; words sorted, because float sums depend on their order."""
        for word in sorted(set(terms(text))):
            key = np.uint64(_hash(word))
            at = int(np.searchsorted(self._words, key))
            if at < len(self._words) and self._words[at] == key:
                yield slice(int(self._starts[at]), int(self._starts[at + 1]))


def _portions(count: int) -> Iterator[slice]:
    return (slice(at, at + PORTION) for at in range(0, count, PORTION))
