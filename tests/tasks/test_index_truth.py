"""What guards the index against stores that lose, lie or are not ours, and the catalog against late writers."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from document_fakes import MemorySource, WordEmbedder, find, ingest, new_bench, new_catalog
from faulty_index import FaultyIndex
from interruptions import PowerCut, cut_power, ending_at
from numpy.typing import NDArray
from sqlalchemy import Engine, text

from infra.adapters.catalog.leases import CatalogLeases
from infra.adapters.embedded_index import EmbeddedIndex
from tasks.core.document_catalog import Accounts, Lease, RegisteredSource
from tasks.core.documents import IndexedLife, Snapshot
from tasks.core.errors import IndexIncomplete, IndexUnavailable, IntegrityFailure, LeaseLost
from tasks.documents import DocumentsBench, holding_lease, plan, read
from tasks.snapshots import EMBED_BATCH, build, embed
from tasks.sources import resolve_sources, scan

PAGES = 40


@pytest.fixture
def source() -> MemorySource:
    made = MemorySource({})
    for page in range(PAGES):
        made.write(f"page-{page}.md", f"# Page {page}\n\nThe H{page} pump runs at {page} bar.")
    return made


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = new_catalog(tmp_path)
    yield made
    made.dispose()


@pytest.fixture
def bench(tmp_path: Path, source: MemorySource, engine: Engine) -> DocumentsBench:
    return new_bench(tmp_path, source, engine=engine)


# ── somebody else's index ────────────────────────────────────────────────────────────────────────────────────────────


def test_an_index_of_another_installation_with_as_many_chunks_is_not_taken_for_ours(
    bench: DocumentsBench, tmp_path: Path
) -> None:
    ingest(bench)
    before = find(bench, 1, "which pump runs at 5 bar")
    others = MemorySource({f"page-{n}.md": f"# Page {n}\n\nSomebody else's page {n}.".encode() for n in range(PAGES)})
    engine = new_catalog(tmp_path, "other")
    index = EmbeddedIndex(tmp_path / "other-index.sqlite")
    ingest(new_bench(tmp_path, others, engine=engine, index=index))
    engine.dispose()
    bench = replace(bench, index=index)
    report = ingest(bench)
    assert (report.is_new, report.embeds) == (False, 0)
    assert find(bench, 1, "which pump runs at 5 bar") == before


# ── stores that lose ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_store_that_refuses_one_in_twenty_and_says_so_ends_with_every_chunk(bench: DocumentsBench) -> None:
    faulty = FaultyIndex(bench.index, share=0.05)
    report = ingest(replace(bench, index=faulty))
    assert len(faulty.lost) > 0
    assert (report.snapshot, report.chunks["live"]) == (1, PAGES)
    held = bench.index.chunk_ids(faulty_collection(bench), 1)
    assert held == set(bench.catalog.chunk_keys("default", 1))


def test_a_refill_that_loses_chunks_is_not_believed(bench: DocumentsBench, tmp_path: Path) -> None:
    ingest(bench)
    liar = FaultyIndex(EmbeddedIndex(tmp_path / "fresh.sqlite"), share=0.2, says_so=False)
    with pytest.raises(IndexIncomplete, match="missing"):
        ingest(replace(bench, index=liar))
    assert len(liar.lost) > 0


class Forgetful(EmbeddedIndex):
    """A store that loses something old whenever something new is written."""

    def put(self, collection: str, lives: Sequence[IndexedLife], token: int) -> Sequence[IndexedLife]:
        unconfirmed = super().put(collection, lives, token)
        if lives[0].born > 1:
            with self._open() as db:
                db.execute("DELETE FROM chunks WHERE rowid = (SELECT min(rowid) FROM chunks WHERE died IS NULL)")
        return unconfirmed


def test_a_store_that_loses_old_chunks_while_new_ones_are_written_is_caught(
    bench: DocumentsBench, source: MemorySource, tmp_path: Path
) -> None:
    bench = replace(bench, index=Forgetful(tmp_path / "forgetful.sqlite"))
    ingest(bench)
    source.write("new.md", "# New\n\nA page more.")
    with pytest.raises(IndexIncomplete, match=rf"holds {PAGES} chunks for snapshot 2, and should hold {PAGES + 1}"):
        ingest(bench)
    published = bench.catalog.published("default")
    assert published is not None
    assert published.number == 1


def test_a_vector_that_is_gone_from_the_catalog_is_named(bench: DocumentsBench, engine: Engine) -> None:
    with holding_lease(bench) as lease:
        todo = plan(bench, scan(bench, resolve_sources(bench, "memory:docs")))
        embedded = embed(bench, read(bench, todo, lease), lease)
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM vectors"))
        with pytest.raises(IntegrityFailure, match=rf"no vector for chunks of {PAGES} documents"):
            build(bench, embedded, lease)
    assert bench.catalog.published("default") is None


# ── late writers ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("write", ["begin", "abandon", "settle"])
def test_a_run_that_was_overtaken_writes_nothing_to_the_catalog(
    bench: DocumentsBench, engine: Engine, write: str
) -> None:
    slow = overtaken(engine)
    snapshot = Snapshot("default", 1, "building", "", "p", "c", 0, 0)
    accounts = Accounts("default", (RegisteredSource("docs", "memory:elsewhere"),), (), (), ())
    writes: dict[str, Callable[[], None]] = {
        "begin": lambda: bench.catalog.begin(snapshot, slow),
        "abandon": lambda: bench.catalog.abandon(snapshot, slow),
        "settle": lambda: bench.catalog.settle(accounts, slow),
    }
    with pytest.raises(LeaseLost):
        writes[write]()
    assert bench.catalog.unfinished("default") is None
    assert bench.catalog.sources("default") == ()


def overtaken(engine: Engine) -> Lease:
    """The lease of a run that was paused for too long."""
    now = [1_000_000.0]
    leases = CatalogLeases(engine, lambda: now[0])
    slow = leases.acquire("documents/default", 60)
    now[0] += 61
    leases.acquire("documents/default", 60)
    return slow


def faulty_collection(bench: DocumentsBench) -> str:
    published = bench.catalog.published("default")
    assert published is not None
    return published.collection


class Overtaker(WordEmbedder):
    """While it embeds its first batch, the lease runs out and somebody else takes it."""

    def __init__(self, leases: CatalogLeases, now: list[float]) -> None:
        super().__init__()
        self._leases, self._now = leases, now

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if not self.embedded:
            self._now[0] += 1_000
            self._leases.acquire("documents/default", 60)
        return super().embed(texts)


def test_a_run_that_is_overtaken_while_it_embeds_stops_at_the_next_batch(
    bench: DocumentsBench, engine: Engine, source: MemorySource
) -> None:
    for page in range(4 * EMBED_BATCH):
        source.write(f"more-{page}.md", f"# More {page}\n\nOne more page, number {page}.")
    now = [1_000_000.0]
    leases = CatalogLeases(engine, lambda: now[0])
    overtaker = Overtaker(leases, now)
    bench = replace(bench, leases=leases, embedder=overtaker, lease_seconds=0)
    slow = leases.acquire("documents/default", 60)
    todo = plan(bench, scan(bench, resolve_sources(bench, "memory:docs")))
    with pytest.raises(LeaseLost):
        embed(bench, read(bench, todo, slow), slow)
    assert len(overtaker.embedded) == EMBED_BATCH


# ── mending ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_older_copy_of_the_index_with_as_many_chunks_is_noticed(
    bench: DocumentsBench, source: MemorySource, tmp_path: Path
) -> None:
    ingest(bench)
    bench.index.close()  # type: ignore[attr-defined]
    shutil.copy(tmp_path / "catalog-index.sqlite", tmp_path / "older.sqlite")
    source.write("page-3.md", "# Page 3\n\nThe H3 pump was replaced by a crane.")
    ingest(bench)
    bench = replace(bench, index=EmbeddedIndex(tmp_path / "older.sqlite"))
    report = ingest(bench)
    assert (report.is_new, report.embeds) == (False, 0)
    assert "crane" in find(bench, 2, "the crane", k=1)[0].chunk.text


def test_readers_of_what_is_published_notice_nothing_of_a_mending(
    bench: DocumentsBench, source: MemorySource, tmp_path: Path
) -> None:
    ingest(bench)
    source.write("page-3.md", "# Page 3\n\nReplaced.")
    ingest(bench)
    before = find(bench, 1, "which pump runs at 5 bar")
    seen: list[bool] = []

    class Watching(EmbeddedIndex):
        def put(self, collection: str, lives: Sequence[IndexedLife], token: int) -> Sequence[IndexedLife]:
            seen.append(find(bench, 1, "which pump runs at 5 bar") == before)
            return super().put(collection, lives, token)

    index = Watching(tmp_path / "catalog-index.sqlite")
    with index._open() as db:
        db.execute("DELETE FROM chunks WHERE born = 2")
    assert ingest(replace(bench, index=index)).is_new is False
    assert seen
    assert all(seen)


def test_going_back_to_an_old_embedder_leaves_its_published_snapshots_readable(
    bench: DocumentsBench, source: MemorySource
) -> None:
    ingest(bench)
    before = find(bench, 1, "which pump runs at 5 bar")
    other = replace(bench, embedder=WordEmbedder("words-2"))
    source.write("page-3.md", "# Page 3\n\nReplaced.")
    ingest(other)
    hasty = replace(bench, lease_seconds=0)
    for calls in range(1, 20, 3):
        with suppress(PowerCut):
            ingest(ending_at(hasty, calls, cut_power, ports=["index"]))
        assert find(bench, 1, "which pump runs at 5 bar") == before


def test_an_index_that_was_deleted_is_said_to_be_gone_and_not_to_be_empty(
    bench: DocumentsBench, tmp_path: Path
) -> None:
    ingest(bench)
    gone = replace(bench, index=EmbeddedIndex(tmp_path / "nothing-here.sqlite"))
    with pytest.raises(IndexUnavailable, match="refilled from the catalog"):
        find(gone, 1, "which pump runs at 5 bar")


def test_a_reader_does_not_empty_an_index_of_another_version(bench: DocumentsBench, tmp_path: Path) -> None:
    ingest(bench)
    bench.index.close()  # type: ignore[attr-defined]
    file = tmp_path / "catalog-index.sqlite"
    for version, says in ((1, "older version"), (10**6, "newer version")):
        with closing(sqlite3.connect(file, isolation_level=None)) as db:
            db.execute(f"PRAGMA user_version = {version}")
        with pytest.raises(IndexUnavailable, match=says):
            find(bench, 1, "which pump runs at 5 bar")
        with closing(sqlite3.connect(file)) as db:
            assert db.execute("SELECT count(*) FROM chunks").fetchone() == (PAGES,)
