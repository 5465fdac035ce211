"""The vector index on a Weaviate server: one collection per logical collection and installation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import UUID

from infra.adapters.weaviate_connection import WeaviateConnection, WeaviateServer
from infra.adapters.weaviate_objects import alive, is_alive, object_id, to_life, unreadable
from infra.adapters.weaviate_reading import Search, count_where, ids_where
from infra.adapters.weaviate_schema import (
    LAYOUT,
    Ownership,
    checked_ownership,
    make,
    mark,
    ownership,
    physical_name,
)
from infra.adapters.weaviate_writing import BATCH, delete_where, write
from tasks.core.changes import Turnover
from tasks.core.documents import Hit, IndexedLife
from tasks.core.errors import IndexIncomplete, IndexUnavailable, LeaseLost
from tasks.core.retrieval import candidates_wanted, ranked

if TYPE_CHECKING:
    from weaviate import WeaviateClient
    from weaviate.collections import Collection
    from weaviate.collections.classes.filters import FilterReturn

    from tasks.core.ports import Vectors
    from tasks.core.releases import RetrievalSettings

    Objects = Collection[Any, Any]


IN_FLIGHT = 2  # requests that write at one time: the server works on one while the other is prepared or confirmed
SEARCHES = 8


class WeaviateIndex:
    """VectorIndex on a Weaviate server. Safe to use from several threads and processes.

    What holds: a reader of a snapshot sees exactly its chunks, at any time, because both searches filter by it; vector
    scores never change. What does not: BM25 counts every chunk that is stored, so keyword scores of an old snapshot
    drift as others are born and reclaimed (`exact` is False). While a chunk's death is written or undone, Weaviate
    takes its words out of the index and puts them in again, so for a moment a keyword search can miss that one chunk.
    Above 40,000 chunks alive the vector search is approximate (HNSW).

    The fence is the token in the collection's description, read before every request that writes, and written again
    when an older run overwrote it. Weaviate compares nothing when it writes: a run that was overtaken is refused at
    its next request, and the two that may be on their way can still land. What it wrote is invisible until published,
    the steps compare ids and counts before they publish, and the next run undoes what is not in the catalog.

    installation: the catalog's id; its first 8 digits are part of every name on the server.
    """

    def __init__(self, server: WeaviateServer, installation: str) -> None:
        self._connection = WeaviateConnection(server)
        self._installation = installation
        self._checked: set[str] = set()  # collections whose schema this process has seen to be ours
        self._searches = ThreadPoolExecutor(max_workers=SEARCHES, thread_name_prefix="weaviate-search")

    @property
    def exact(self) -> bool:
        return False

    def close(self) -> None:
        """Ends the connection."""
        self._searches.shutdown()
        self._connection.close()

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def claim(self, collection: str, stamp: str, token: int) -> None:
        name = self._name(collection)
        with self._connection.client() as client:
            held = checked_ownership(client, name)
            _check_token(name, held, token)
            if held is None:
                make(client, name, Ownership(stamp, token))
            elif (held.stamp, held.layout) != (stamp, LAYOUT):
                client.collections.delete(name)
                make(client, name, Ownership(stamp, token))
            elif held.token != token:
                mark(client, name, Ownership(stamp, token))

    def put(self, collection: str, lives: Sequence[IndexedLife], token: int) -> Sequence[IndexedLife]:
        with self._fenced(collection, token) as (objects, check_fence):
            # Of two objects with one id in a request Weaviate keeps the last, and confirms both.
            last = {object_id(objects.name, life): life for life in lives}

            def send(batch: Mapping[UUID, IndexedLife]) -> list[IndexedLife]:
                check_fence()
                return list(write(objects, batch).values())

            with ThreadPoolExecutor(IN_FLIGHT) as senders:
                lost = [life for left in senders.map(send, _batches(last)) for life in left]
            overwritten = [life for life in lives if last[object_id(objects.name, life)].died != life.died]
            return lost + overwritten

    def undo(self, collection: str, snapshot: int, token: int) -> None:
        from weaviate.classes.query import Filter

        with self._fenced(collection, token) as (objects, check_fence):
            delete_where(objects, Filter.by_property("born").greater_or_equal(snapshot), check_fence)
            died_since = Filter.by_property("died").greater_or_equal(snapshot)
            while dead := objects.query.fetch_objects(filters=died_since, limit=BATCH, include_vector=True).objects:
                check_fence()
                _check_undone(objects, {one.uuid: replace(to_life(one), died=None) for one in dead})

    def reclaim(self, collection: str, keep_snapshots: Sequence[int], token: int) -> int:
        with self._fenced(collection, token) as (objects, check_fence):
            return delete_where(objects, unreadable(keep_snapshots), check_fence) if keep_snapshots else 0

    def drop(self, collection: str, token: int) -> None:
        name = self._name(collection)
        with self._connection.client() as client:
            _check_token(name, ownership(client, name), token)
            client.collections.delete(name)
        self._checked.discard(name)

    @contextmanager
    def _fenced(self, collection: str, token: int) -> Iterator[tuple[Objects, Callable[[], None]]]:
        """The collection, for writing to every replica, and what to call before each request that writes."""
        from weaviate.classes.config import ConsistencyLevel

        name = self._name(collection)
        with self._connection.client() as client:

            def check_fence() -> None:
                held = ownership(client, name)
                if held is None:
                    raise _gone(self._connection.url, name)
                _check_token(name, held, token)
                if held.token < token:  # an older run claimed at the same moment, and its token was written last
                    mark(client, name, replace(held, token=token))

            check_fence()
            yield client.collections.use(name).with_consistency_level(ConsistencyLevel.ALL), check_fence

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def stamp(self, collection: str) -> str | None:
        with self._connection.client() as client:
            held = ownership(client, self._name(collection))
            return held.stamp if held and held.layout == LAYOUT else None

    def turnover(self, collection: str, snapshot: int) -> Turnover:
        return Turnover(self._ids_at("born", collection, snapshot), self._ids_at("died", collection, snapshot))

    def _ids_at(self, when: str, collection: str, snapshot: int) -> tuple[str, ...]:
        from weaviate.classes.query import Filter

        exactly = Filter.by_property(when).equal(snapshot)
        return tuple(sorted(self._ids(collection, exactly, lambda said: said.get(when) == snapshot)))

    def count(self, collection: str, snapshot: int) -> int:
        with self._connection.client() as client:
            objects = self._everywhere(client, self._name(collection))
            return count_where(objects, alive(snapshot)) if objects else 0

    def chunk_ids(self, collection: str, snapshot: int) -> set[str]:
        return self._ids(collection, alive(snapshot), lambda said: is_alive(said, snapshot))

    def search(
        self, collection: str, snapshot: int, text: str, vector: Vectors, settings: RetrievalSettings
    ) -> list[Hit]:
        from weaviate.exceptions import WeaviateQueryError

        if not settings.wanted:
            return []
        name = self._name(collection)
        with self._connection.client() as client:
            self._check_schema(client, name)
            try:
                return self._hits(Search(client.collections.use(name), snapshot, text, vector, settings), settings)
            except WeaviateQueryError:
                self._checked.discard(name)
                self._check_schema(client, name)  # says so when the collection is gone
                raise

    def _hits(self, search: Search, settings: RetrievalSettings) -> list[Hit]:
        count = candidates_wanted(settings)
        # Both at once: the server works on one while this process unpacks the other.
        worded = self._searches.submit(search.by_words, count) if settings.fusion != "vector" else None
        near = search.by_vector(count) if settings.fusion != "bm25" else []
        by_words = worded.result() if worded else []
        found = {one.chunk.id: one for one in (*by_words, *near)}
        scored = ranked([(c.chunk.id, c.score) for c in by_words], [(c.chunk.id, c.score) for c in near], settings)
        return [Hit(found[key].chunk, score, found[key].similarity) for key, score in scored]

    def _ids(self, collection: str, which: FilterReturn, holds: Callable[[Mapping[str, Any]], bool]) -> set[str]:
        with self._connection.client() as client:
            objects = self._everywhere(client, self._name(collection))
            return ids_where(objects, which, holds) if objects else set()

    def _everywhere(self, client: WeaviateClient, name: str) -> Objects | None:
        """The collection as every replica holds it, for what is read before publishing; None when it is not there."""
        from weaviate.classes.config import ConsistencyLevel

        if checked_ownership(client, name) is None:
            return None
        return client.collections.use(name).with_consistency_level(ConsistencyLevel.ALL)

    def _check_schema(self, client: WeaviateClient, name: str) -> None:
        if name not in self._checked:
            if checked_ownership(client, name) is None:
                raise _gone(self._connection.url, name)
            self._checked.add(name)

    def _name(self, collection: str) -> str:
        return physical_name(collection, self._installation)


def _check_token(name: str, held: Ownership | None, token: int) -> None:
    if held and token < held.token:
        raise LeaseLost(
            f"A newer run writes to {name} (token {held.token}, this run's is {token}). This run stopped; nothing it "
            "wrote can be seen. Run again, and if the catalog was restored from a backup, delete the collection on "
            "the Weaviate server as well: it is refilled from the catalog.",
            token=token,
            fence=held.token,
        )


def _gone(url: str, name: str) -> IndexUnavailable:
    return IndexUnavailable(
        f"There is no collection {name} at {url}: the server was emptied, or it is another one. "
        "Run a re-ingest: the collection is refilled from the catalog, and nothing is embedded again.",
        collection=name,
    )


def _check_undone(objects: Objects, lives: Mapping[UUID, IndexedLife]) -> None:
    left = write(objects, lives)
    if left:
        raise IndexIncomplete(
            f"Weaviate did not bring back {len(left):,} of {len(lives):,} chunks of {objects.name} whose deaths are "
            "undone. Run again.",
            left=len(left),
        )


def _batches(lives: Mapping[UUID, IndexedLife]) -> Iterator[Mapping[UUID, IndexedLife]]:
    left = iter(lives.items())
    while batch := dict(islice(left, BATCH)):
        yield batch
