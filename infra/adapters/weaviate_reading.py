"""Reads from one Weaviate collection: ids in any number, and candidates for a question."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from infra.adapters.weaviate_objects import CHUNK_PROPERTIES, alive, is_alive, matching, to_chunk, vector_of
from tasks.core.documents import Chunk
from tasks.core.retrieval import BM25_K1, terms

if TYPE_CHECKING:
    from weaviate.collections import Collection
    from weaviate.collections.classes.filters import FilterReturn

    from infra.adapters.weaviate_objects import Stored
    from tasks.core.ports import Vectors
    from tasks.core.releases import RetrievalSettings

    Objects = Collection[Any, Any]

MOST_RESULTS = 10_000  # what a server returns for one filtered query, unless QUERY_MAXIMUM_RESULTS says otherwise
PAGE = 1_000
SPARE = 10  # candidates asked for beyond those that are needed, to see whether the last one is tied
LEFT_OUT = BM25_K1 + 1  # a factor of every BM25 score that Weaviate leaves out
DECIMALS = 6  # below float32 noise; keeps ties and answers the same, as in the embedded index


def count_where(objects: Objects, which: FilterReturn) -> int:
    """How many objects a filter finds."""
    return int(objects.aggregate.over_all(total_count=True, filters=which).total_count or 0)


def ids_where(objects: Objects, which: FilterReturn, holds: Callable[[Mapping[str, Any]], bool]) -> set[str]:
    """Chunk ids of what a filter finds; `holds` says the same of properties.

    A filtered query returns 10,000 objects at most, and the cursor knows no filter: beyond that number the whole
    collection is read, a page at a time, and filtered here.
    """
    needed = ["chunk_id", "born", "died"]
    if count_where(objects, which) <= MOST_RESULTS:
        found = objects.query.fetch_objects(filters=which, limit=MOST_RESULTS, return_properties=needed).objects
    else:
        found = list(_everything(objects, needed))
    return {str(one.properties["chunk_id"]) for one in found if holds(one.properties)}


def _everything(objects: Objects, properties: list[str]) -> Iterator[Stored]:
    return iter(objects.iterator(return_properties=properties, cache_size=PAGE))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chunk that one of the two searches found."""

    chunk: Chunk
    score: float  # what this search ranks by
    similarity: float
    is_alive: bool


class Search:
    """One question to one snapshot. vector: (dimensions,) float32, unit length.

    The server filters, and what it returns is checked here once more: an object that is being written can be found
    before its birth is in the index that the filter reads.
    """

    def __init__(
        self, objects: Objects, snapshot: int, text: str, vector: Vectors, settings: RetrievalSettings
    ) -> None:
        self._objects = objects
        self._snapshot = snapshot
        self._vector = np.asarray(vector, dtype="<f4").reshape(-1)
        self._words = " ".join(sorted(set(terms(text))))
        self._settings = settings
        asked = matching(settings)
        self._which = alive(snapshot) if asked is None else alive(snapshot) & asked

    def by_vector(self, count: int) -> list[Candidate]:
        """The nearest chunks."""
        return self._best(count, self._near)

    def by_words(self, count: int) -> list[Candidate]:
        """The best chunks by BM25; only such as hold a word of the question."""
        return self._best(count, self._worded) if self._words else []

    def _best(self, count: int, ask: Callable[[int], list[Candidate]]) -> list[Candidate]:
        """The first `count` that are admitted, ties by chunk id: asks for more while one unseen could be among them."""
        limit = min(count + SPARE, MOST_RESULTS)
        while True:
            found = ask(limit)
            admits = self._settings.admits
            admitted = [c for c in found if c.is_alive and admits(c.chunk.document, c.chunk.heading_path)]
            admitted = sorted(admitted, key=lambda c: (-c.score, c.chunk.id))[:count]
            is_all = len(found) < limit or limit == MOST_RESULTS
            if is_all or (len(admitted) == count and admitted[-1].score > min(c.score for c in found)):
                return admitted
            limit = min(4 * limit, MOST_RESULTS)

    def _near(self, limit: int) -> list[Candidate]:
        answer = self._objects.query.near_vector(
            self._vector.tolist(),
            limit=limit,
            filters=self._which,
            return_properties=CHUNK_PROPERTIES,
            include_vector=True,
        )
        similarities = self._similarities(answer.objects)
        return [self._candidate(o, s, s) for o, s in zip(answer.objects, similarities, strict=True)]

    def _worded(self, limit: int) -> list[Candidate]:
        from weaviate.classes.query import MetadataQuery

        answer = self._objects.query.bm25(
            self._words,
            query_properties=["words"],
            limit=limit,
            filters=self._which,
            return_properties=CHUNK_PROPERTIES,
            return_metadata=MetadataQuery(score=True),
            include_vector=True,
        )
        similarities = self._similarities(answer.objects)
        return [
            self._candidate(o, round(LEFT_OUT * float(o.metadata.score or 0.0), DECIMALS), s)
            for o, s in zip(answer.objects, similarities, strict=True)
        ]

    def _candidate(self, found: Stored, score: float, similarity: float) -> Candidate:
        return Candidate(to_chunk(found.properties), score, similarity, is_alive(found.properties, self._snapshot))

    def _similarities(self, found: list[Stored]) -> list[float]:
        if not found:
            return []
        cosines = np.stack([vector_of(one) for one in found]) @ self._vector
        return [float(cosine) for cosine in cosines.astype(np.float64).round(DECIMALS)]
