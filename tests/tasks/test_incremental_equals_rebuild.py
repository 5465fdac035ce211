"""Promise 1: whatever happened to the documents, the index equals one built from nothing; old answers stay."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from document_fakes import LineParser, MemorySource, WordEmbedder, find, ingest, new_bench, new_catalog, rebuilt
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from interruptions import PowerCut, cut_power, ending_at

from infra.adapters.catalog.documents import CatalogDocuments
from infra.adapters.embedded_index import EmbeddedIndex
from infra.adapters.weaviate_connection import WeaviateServer
from infra.adapters.weaviate_index import WeaviateIndex
from infra.deploy.weaviate_server import RunningServer
from tasks.core.chunking import ChunkSettings
from tasks.core.document_catalog import Lease
from tasks.core.documents import Hit
from tasks.core.errors import LeaseLost
from tasks.core.fingerprints import collection_name
from tasks.core.ingestion import Built
from tasks.core.ports import VectorIndex
from tasks.documents import DocumentsBench, plan, published_snapshot, read
from tasks.snapshots import build, embed, publish
from tasks.sources import resolve_sources, scan

PATHS = st.sampled_from(["a.md", "b.md", "sub/c.md", "sub/d.md"])
SENTENCES = st.sampled_from([f"The H{n}00 pump runs at {n} bar and its seal lasts {n} years." for n in range(1, 9)])
BLOCKS = st.one_of(SENTENCES, st.sampled_from(["# Pumps", "# Seals", "## Care", "Short.", "word " * 150, "POISON"]))
TEXTS = st.lists(BLOCKS, max_size=8).map("\n\n".join)


def built_by(bench: DocumentsBench, lease: Lease) -> Built:
    """A run that got as far as the moment before it publishes."""
    todo = plan(bench, scan(bench, resolve_sources(bench, "memory:docs")))
    return build(bench, embed(bench, read(bench, todo, lease), lease), lease)


class Corpus(RuleBasedStateMachine):
    """People edit, the flow runs now and then, and the power fails."""

    compared: ClassVar[int] = 0  # snapshots with one built from nothing

    def open_index(self, catalog: CatalogDocuments) -> VectorIndex:
        return EmbeddedIndex(Path(self.folder.name) / "index.sqlite")

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.source = MemorySource({"a.md": b"# Pumps\n\nThe first page."})
        self.engine = new_catalog(Path(self.folder.name))
        index = self.open_index(CatalogDocuments(self.engine))
        self.bench = new_bench(Path(self.folder.name), self.source, engine=self.engine, index=index)
        self.answers: dict[int, list[Hit]] = {}
        self.kept: dict[str, bytes] = {}  # a version that may come back

    @rule(path=PATHS, text=TEXTS)
    def write(self, path: str, text: str) -> None:
        self.kept[path] = self.source.contents.get(path, b"")
        self.source.write(path, text)

    @rule(path=PATHS, text=BLOCKS)
    def edit_the_top(self, path: str, text: str) -> None:
        self.source.contents[path] = f"{text}\n\n".encode() + self.source.contents.get(path, b"")

    @rule(path=PATHS)
    def revert(self, path: str) -> None:
        if path in self.kept:
            self.source.contents[path] = self.kept[path]

    @rule(path=PATHS)
    def delete(self, path: str) -> None:
        if len(self.source.contents) > 1:
            self.source.contents.pop(path, None)

    @rule(old=PATHS, new=PATHS)
    def rename(self, old: str, new: str) -> None:
        if old in self.source.contents:
            self.source.contents[new] = self.source.contents.pop(old)

    @rule()
    def touch(self) -> None:
        self.source.touches += 1

    @rule(maximum=st.sampled_from([1200, 1600]))
    def configure_chunks(self, maximum: int) -> None:
        self.bench = replace(self.bench, chunking=ChunkSettings(maximum=maximum))

    @rule(version=st.sampled_from(["words-1", "words-2"]))
    def configure_embedder(self, version: str) -> None:
        self.bench = replace(self.bench, embedder=WordEmbedder(version))

    @rule(version=st.sampled_from(["lines-1", "lines-2"]))
    def configure_parser(self, version: str) -> None:
        self.bench = replace(self.bench, parser=LineParser(version))

    # A page that turned bad keeps its last good text, on purpose: an index built from nothing cannot have that.
    @precondition(lambda self: not any(b"POISON" in data for data in self.source.contents.values()))
    @rule()
    def ingest_and_compare(self) -> None:
        report = ingest(self.bench)
        again = ingest(self.bench)
        assert (again.embeds, again.is_new) == (0, False)
        with tempfile.TemporaryDirectory() as folder:
            assert rebuilt(self.bench, Path(folder), self.source).manifest_hash == report.manifest_hash
        type(self).compared += 1
        self.read_it()

    @precondition(lambda self: any(b"POISON" not in data for data in self.source.contents.values()))
    @rule(calls=st.integers(min_value=1, max_value=60))
    def lose_power_while_ingesting(self, calls: int) -> None:
        with suppress(PowerCut):
            ingest(ending_at(replace(self.bench, lease_seconds=0), calls, cut_power))
        if self.bench.catalog.published("default") is not None:
            self.read_it()

    @precondition(lambda self: any(b"POISON" not in data for data in self.source.contents.values()))
    @rule(path=PATHS, text=SENTENCES)
    def be_overtaken_while_ingesting(self, path: str, text: str) -> None:
        hasty = replace(self.bench, lease_seconds=0)  # its lease has run out as soon as it has it
        slow = hasty.leases.acquire("documents/default", seconds=0)
        built = built_by(hasty, slow)
        self.source.write(path, text)
        ingest(self.bench)
        if built.publication is not None:
            with pytest.raises(LeaseLost):
                publish(self.bench, built, slow)
        self.read_it()

    @precondition(lambda self: any(b"POISON" not in data for data in self.source.contents.values()))
    @rule()
    def ingest_only(self) -> None:
        ingest(self.bench)
        self.read_it()

    def read_it(self) -> None:
        snapshot = published_snapshot(self.bench)
        documents = self.bench.catalog.documents("default", snapshot.number)
        uris = [document.uri for document in documents]
        order = self.bench.catalog.reading_order("default", snapshot.number, uris)
        chunks = {chunk_id for chunk_ids in order.values() for chunk_id in chunk_ids}
        assert self.bench.index.chunk_ids(snapshot.collection, snapshot.number) == chunks
        assert (snapshot.documents, snapshot.chunks) == (len(documents), len(chunks))
        self.answers.setdefault(snapshot.number, self.ask(snapshot.number))

    def ask(self, number: int) -> list[Hit]:
        fusion = "rrf" if self.bench.index.exact else "vector"
        return find(self.bench, number, "pump seal H300", k=5, embedder=WordEmbedder("any"), fusion=fusion)

    @invariant()
    def every_published_snapshot_answers_as_it_did(self) -> None:
        for number, answer in getattr(self, "answers", {}).items():
            assert self.ask(number) == answer

    def teardown(self) -> None:
        if hasattr(self, "engine"):
            self.engine.dispose()
            self.folder.cleanup()


class CorpusOnWeaviate(Corpus):
    """The same on a real server."""

    server: ClassVar[WeaviateServer]

    def open_index(self, catalog: CatalogDocuments) -> VectorIndex:
        self.index = WeaviateIndex(self.server, catalog.identity())
        return self.index

    def teardown(self) -> None:
        if hasattr(self, "index"):
            for embedder in ("words-1", "words-2"):
                self.index.drop(collection_name("default", embedder), token=10**6)
            self.index.close()
        super().teardown()


def test_incremental_equals_rebuild_on_weaviate(weaviate_server: RunningServer) -> None:
    CorpusOnWeaviate.server = WeaviateServer(weaviate_server.url, weaviate_server.grpc_port)
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        CorpusOnWeaviate,
        settings=settings(TestIncrementalEqualsRebuild.settings, max_examples=4, stateful_step_count=10),
    )
    assert CorpusOnWeaviate.compared > 0


TestIncrementalEqualsRebuild = Corpus.TestCase
TestIncrementalEqualsRebuild.settings = settings(
    max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def test_vectors_of_the_fake_are_unit_length() -> None:
    vectors = WordEmbedder().embed(["a", "b c"])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
