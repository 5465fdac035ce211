"""The promises of the documents stage on a real Weaviate server, for what the embedded index cannot show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from document_fakes import MemorySource, find, ingest, new_bench, new_catalog, rebuilt
from faulty_index import FaultyIndex
from interruptions import PowerCut, cut_power, ending_at
from sqlalchemy import Engine

from infra.adapters.catalog.documents import CatalogDocuments
from infra.adapters.weaviate_connection import WeaviateServer
from infra.adapters.weaviate_index import WeaviateIndex
from infra.deploy.weaviate_server import RunningServer
from tasks.core.errors import IndexIncomplete
from tasks.core.fingerprints import collection_name
from tasks.documents import DocumentsBench

PAGES = 60


@pytest.fixture
def source() -> MemorySource:
    made = MemorySource({})
    for page in range(PAGES):
        made.write(f"page-{page}.md", f"# Page {page}\n\nThe H{page} pump runs at {page} bar and needs seal {page}.")
    return made


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = new_catalog(tmp_path)
    yield made
    made.dispose()


@pytest.fixture
def bench(
    tmp_path: Path, source: MemorySource, engine: Engine, weaviate_server: RunningServer
) -> Iterator[DocumentsBench]:
    where = WeaviateServer(weaviate_server.url, weaviate_server.grpc_port)
    index = WeaviateIndex(where, CatalogDocuments(engine).identity())
    made = new_bench(tmp_path, source, engine=engine, index=index)
    yield made
    index.drop(collection_of(made), token=10**6)
    index.close()


def collection_of(bench: DocumentsBench) -> str:
    return collection_name("default", bench.embedder.fingerprint)


def edit_a_fifth(source: MemorySource, version: str = "replaced") -> None:
    for page in range(0, PAGES, 5):
        source.write(f"page-{page}.md", f"# Page {page}\n\nThe H{page} pump was {version}; its seal too.")


def answers(bench: DocumentsBench, number: int) -> list[list[str]]:
    questions = [f"pump H{n} seal" for n in range(0, PAGES, 7)]
    return [[hit.chunk.id for hit in find(bench, number, question, k=5, fusion="vector")] for question in questions]


def holds_what_the_catalog_says(bench: DocumentsBench, number: int) -> bool:
    held = bench.index.chunk_ids(collection_of(bench), number)
    return held == set(bench.catalog.chunk_keys("default", number))


def test_a_server_that_was_emptied_is_refilled_with_every_snapshot_and_nothing_is_embedded(
    bench: DocumentsBench, source: MemorySource
) -> None:
    ingest(bench)
    edit_a_fifth(source)
    ingest(bench)
    before = [answers(bench, number) for number in (1, 2)]
    bench.index.drop(collection_of(bench), token=10**5)
    report = ingest(bench)
    assert (report.is_new, report.embeds) == (False, 0)
    assert [answers(bench, number) for number in (1, 2)] == before
    assert holds_what_the_catalog_says(bench, 1)
    assert holds_what_the_catalog_says(bench, 2)


def test_a_server_that_refuses_one_object_in_twenty_ends_with_every_chunk(
    bench: DocumentsBench, source: MemorySource, tmp_path: Path
) -> None:
    faulty = FaultyIndex(bench.index, share=0.05)
    report = ingest(replace(bench, index=faulty))
    edit_a_fifth(source)
    report = ingest(replace(bench, index=faulty))
    assert len(faulty.lost) > 0
    assert holds_what_the_catalog_says(bench, 2)
    assert report.manifest_hash == rebuilt(bench, tmp_path, source).manifest_hash


def test_a_server_that_confirms_what_it_lost_is_never_published_and_the_next_run_is_whole(
    bench: DocumentsBench, source: MemorySource
) -> None:
    ingest(bench)
    before = answers(bench, 1)
    edit_a_fifth(source)
    liar = FaultyIndex(bench.index, share=0.2, says_so=False)
    with pytest.raises(IndexIncomplete, match="missing"):
        ingest(replace(bench, index=liar))
    assert len(liar.lost) > 0
    published = bench.catalog.published("default")
    assert published is not None
    assert published.number == 1
    assert answers(bench, 1) == before
    assert ingest(bench).snapshot == 2
    assert holds_what_the_catalog_says(bench, 2)
    assert holds_what_the_catalog_says(bench, 1)


INDEX_CALLS = 8  # stamp, count, claim, undo, births, deaths, turnover, count; each can end before it and after it


@pytest.mark.parametrize("calls", range(1, 2 * INDEX_CALLS + 1))
def test_a_run_that_ends_anywhere_while_the_index_is_written_leaves_no_trace(
    bench: DocumentsBench, source: MemorySource, calls: int
) -> None:
    ingest(bench)
    before = answers(bench, 1)
    edit_a_fifth(source)
    hasty = replace(bench, lease_seconds=0)  # its lease has run out when the next run comes
    with pytest.raises(PowerCut):
        ingest(ending_at(hasty, calls, cut_power, ports=["index"]))
    published = bench.catalog.published("default")
    assert published is not None
    assert published.number == 1
    assert answers(bench, 1) == before
    assert ingest(bench).snapshot == 2
    assert holds_what_the_catalog_says(bench, 1)
    assert holds_what_the_catalog_says(bench, 2)
    assert bench.index.count(collection_of(bench), 10**6) == PAGES  # neither births nor deaths were left behind
