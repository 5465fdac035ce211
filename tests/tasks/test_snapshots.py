"""Building and publishing: promises 3, 5 and 6."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from document_fakes import MemorySource, WordEmbedder, find, ingest, new_bench, new_catalog
from sqlalchemy import Engine

from infra.adapters.catalog.leases import CatalogLeases
from infra.adapters.embedded_index import EmbeddedIndex
from tasks.core.document_catalog import Lease
from tasks.core.documents import Chunk, Hit, IndexedLife
from tasks.core.errors import AssistantBusy, IndexIncomplete, LeaseLost
from tasks.core.ingestion import Embedded
from tasks.documents import DocumentsBench, holding_lease, plan, published_snapshot, read
from tasks.snapshots import build, embed, publish
from tasks.sources import resolve_sources, scan


@pytest.fixture
def source() -> MemorySource:
    made = MemorySource({})
    for page in range(20):
        made.write(f"page-{page}.md", f"# Page {page}\n\nThe H{page} pump runs at {page} bar and needs seal {page}.")
    return made


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = new_catalog(tmp_path)
    yield made
    made.dispose()


@pytest.fixture
def bench(tmp_path: Path, source: MemorySource, engine: Engine) -> DocumentsBench:
    return new_bench(tmp_path, source, engine=engine)


def edit_a_fifth(source: MemorySource) -> None:
    for page in range(0, 20, 5):
        source.write(f"page-{page}.md", f"# Page {page}\n\nThe H{page} pump was replaced; its seal too.")


def prepared(bench: DocumentsBench, lease: Lease) -> Embedded:
    todo = plan(bench, scan(bench, resolve_sources(bench, "memory:docs")))
    return embed(bench, read(bench, todo, lease), lease)


def ask(bench: DocumentsBench, snapshot: int) -> list[Hit]:
    return find(bench, snapshot, "which pump has seal 5")


def test_a_built_snapshot_is_invisible_until_it_is_published(bench: DocumentsBench, source: MemorySource) -> None:
    ingest(bench)
    before = ask(bench, 1)
    edit_a_fifth(source)
    with holding_lease(bench) as lease:
        built = build(bench, prepared(bench, lease), lease)
        assert published_snapshot(bench).number == 1
        assert len(bench.catalog.documents("default", 1)) == 20
        assert ask(bench, 1) == before
        publish(bench, built, lease)
    assert published_snapshot(bench).number == 2
    assert ask(bench, 1) == before
    assert ask(bench, 2) != before


def test_a_step_that_is_run_again_changes_nothing(bench: DocumentsBench) -> None:
    with holding_lease(bench) as lease:
        embedded = prepared(bench, lease)
        assert prepared(bench, lease).embeds == 0
        first = build(bench, embedded, lease)
        assert build(bench, embedded, lease) == first
        publish(bench, first, lease)
    assert ingest(bench).is_new is False


def test_what_a_run_left_unfinished_is_undone_even_when_nothing_is_new(
    bench: DocumentsBench, source: MemorySource
) -> None:
    ingest(bench)
    was = dict(source.contents)
    edit_a_fifth(source)
    with holding_lease(bench) as lease:
        build(bench, prepared(bench, lease), lease)
    collection = published_snapshot(bench).collection
    assert bench.index.chunk_ids(collection, 2) != bench.index.chunk_ids(collection, 1)
    source.contents = was
    assert ingest(bench).is_new is False
    assert bench.index.chunk_ids(collection, 2) == bench.index.chunk_ids(collection, 1)
    assert bench.catalog.unfinished("default") is None


# ── two at once ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_second_run_is_told_who_works_and_until_when(bench: DocumentsBench) -> None:
    with holding_lease(bench) as lease, pytest.raises(AssistantBusy, match=r"documents/default.* until 20") as busy:
        ingest(bench)
    assert busy.value.values["holder"] == lease.holder
    assert ingest(bench).snapshot == 1


class Clock:
    """Seconds that pass when the test says so."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def overtaken(bench: DocumentsBench, engine: Engine) -> tuple[DocumentsBench, Lease, Lease]:
    """A run whose lease ran out unnoticed, its lease, and the lease of the run that took over."""
    clock = Clock()
    bench = replace(bench, leases=CatalogLeases(engine, clock))
    slow = bench.leases.acquire("documents/default", 60)
    clock.now += bench.lease_seconds + 1
    return bench, slow, bench.leases.acquire("documents/default", 60)


def test_an_overtaken_run_cannot_publish(bench: DocumentsBench, engine: Engine) -> None:
    clock = Clock()
    bench = replace(bench, leases=CatalogLeases(engine, clock))
    slow = bench.leases.acquire("documents/default", 60)
    built = build(bench, prepared(bench, slow), slow)
    clock.now += bench.lease_seconds + 1
    bench.leases.acquire("documents/default", 60)
    with pytest.raises(LeaseLost):
        publish(bench, built, slow)
    assert bench.catalog.published("default") is None
    assert bench.catalog.documents("default", 1) == ()


def test_a_run_publishes_only_what_it_built_itself(bench: DocumentsBench) -> None:
    with holding_lease(bench) as lease:
        built = build(bench, prepared(bench, lease), lease)
    with holding_lease(bench) as later, pytest.raises(LeaseLost, match="not the one this run built"):
        publish(bench, built, later)
    assert bench.catalog.published("default") is None


def test_an_overtaken_run_cannot_write_to_the_index(
    bench: DocumentsBench, engine: Engine, source: MemorySource
) -> None:
    bench, slow, quick = overtaken(bench, engine)
    embedded = prepared(bench, quick)
    publish(bench, build(bench, embedded, quick), quick)
    collection = published_snapshot(bench).collection
    before = bench.index.chunk_ids(collection, 10)
    with pytest.raises(LeaseLost):
        bench.index.undo(collection, 1, slow.token)
    assert bench.index.chunk_ids(collection, 10) == before


def test_an_overtaken_run_stops_at_its_next_step(bench: DocumentsBench, engine: Engine) -> None:
    bench, slow, _ = overtaken(bench, engine)
    todo = plan(bench, scan(bench, resolve_sources(bench, "memory:docs")))
    with pytest.raises(LeaseLost):
        read(bench, todo, slow)
    with pytest.raises(LeaseLost):
        build(bench, Embedded(read(bench, todo), 0, 0, True, 0.0), slow)


def test_both_runs_building_the_same_number_leave_one_snapshot(
    bench: DocumentsBench, engine: Engine, source: MemorySource
) -> None:
    clock = Clock()
    bench = replace(bench, leases=CatalogLeases(engine, clock))
    slow = bench.leases.acquire("documents/default", 60)
    late = build(bench, prepared(bench, slow), slow)
    clock.now += bench.lease_seconds + 1
    edit_a_fifth(source)
    quick = bench.leases.acquire("documents/default", 60)
    publish(bench, build(bench, prepared(bench, quick), quick), quick)
    with pytest.raises(LeaseLost):
        publish(bench, late, slow)
    snapshot = published_snapshot(bench)
    assert bench.index.chunk_ids(snapshot.collection, 1) == set(bench.catalog.chunk_keys("default", 1))


# ── per-object truth ─────────────────────────────────────────────────────────────────────────────────────────────────


class LossyIndex(EmbeddedIndex):
    """A store that loses one object of every batch; `honest` decides whether it says so."""

    honest = False
    loses_deaths = False

    def put(self, collection: str, lives: Sequence[IndexedLife], token: int) -> Sequence[IndexedLife]:
        drops = (lives[0].died is not None) is self.loses_deaths
        lost = lives[:1] if drops else []
        super().put(collection, lives[len(lost) :], token)
        return lost if self.honest else []


@pytest.mark.parametrize("honest", [True, False])
def test_a_store_that_drops_an_object_is_caught_before_publishing(
    bench: DocumentsBench, tmp_path: Path, honest: bool
) -> None:
    index = LossyIndex(tmp_path / "lossy.sqlite")
    index.honest = honest
    with pytest.raises(IndexIncomplete, match="did not confirm 1 of 20 births" if honest else "1 are missing"):
        ingest(replace(bench, index=index))
    assert bench.catalog.published("default") is None


def test_a_store_that_drops_a_death_is_caught_too(bench: DocumentsBench, source: MemorySource, tmp_path: Path) -> None:
    index = LossyIndex(tmp_path / "lossy.sqlite")
    index.loses_deaths = True
    bench = replace(bench, index=index)
    ingest(bench)
    edit_a_fifth(source)
    with pytest.raises(IndexIncomplete, match="should not be there"):
        ingest(bench)
    assert published_snapshot(bench).number == 1


def test_a_lost_index_comes_back_with_all_its_snapshots_and_without_embedding(
    bench: DocumentsBench, source: MemorySource, tmp_path: Path
) -> None:
    was = dict(source.contents)
    for contents in (was, {**was, "page-0.md": b"# Page 0\n\nGone for a while."}, was):
        source.contents = dict(contents)
        ingest(bench)
    before = [ask(bench, number) for number in (1, 2, 3)]
    bench = replace(bench, index=EmbeddedIndex(tmp_path / "fresh.sqlite"))
    report = ingest(bench)
    assert (report.is_new, report.embeds) == (False, 0)
    assert [ask(bench, number) for number in (1, 2, 3)] == before


def test_an_index_that_was_damaged_is_mended(bench: DocumentsBench, source: MemorySource, tmp_path: Path) -> None:
    ingest(bench)
    edit_a_fifth(source)
    ingest(bench)
    before = [ask(bench, number) for number in (1, 2)]
    with closing(sqlite3.connect(tmp_path / "catalog-index.sqlite", isolation_level=None)) as file:
        file.execute("DELETE FROM chunks WHERE document = 'page-1.md'")
        file.execute("UPDATE chunks SET died = 2 WHERE document = 'page-2.md'")
        file.execute("UPDATE chunks SET died = NULL WHERE document = 'page-5.md'")
        file.execute("UPDATE chunks SET id = 'stray' WHERE document = 'page-3.md'")
    assert ingest(bench).is_new is False
    assert [ask(bench, number) for number in (1, 2)] == before


def test_chunks_that_nobody_recorded_are_removed(bench: DocumentsBench, source: MemorySource) -> None:
    ingest(bench)
    collection = published_snapshot(bench).collection
    stray = IndexedLife(Chunk("stray", "page-1.md", (), "text"), np.zeros(32, dtype="<f4").tobytes(), born=2)
    bench.index.put(collection, [stray], token=1)
    edit_a_fifth(source)
    ingest(bench)
    assert "stray" not in bench.index.chunk_ids(collection, 2)


def test_an_embedder_that_fails_halfway_loses_nothing(bench: DocumentsBench, source: MemorySource) -> None:
    class Failing(WordEmbedder):
        def embed(self, texts: Sequence[str]) -> object:  # type: ignore[override]
            raise ConnectionError("the embedder went away")

    ingest(bench)
    before = ask(bench, 1)
    edit_a_fifth(source)
    with pytest.raises(ConnectionError):
        ingest(replace(bench, embedder=Failing()))
    assert ask(bench, 1) == before
    assert ingest(bench).snapshot == 2
