"""Promise 1: whatever happened to the documents, the index equals one built from nothing; old answers stay."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from document_fakes import LineParser, MemorySource, WordEmbedder, ingest, new_bench, new_catalog, rebuilt
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tasks.core.chunking import ChunkSettings
from tasks.core.documents import Hit
from tasks.core.releases import RetrievalSettings
from tasks.documents import published_snapshot, search

PATHS = st.sampled_from(["a.md", "b.md", "sub/c.md", "sub/d.md"])
SENTENCES = st.sampled_from([f"The H{n}00 pump runs at {n} bar and its seal lasts {n} years." for n in range(1, 9)])
BLOCKS = st.one_of(SENTENCES, st.sampled_from(["# Pumps", "# Seals", "## Care", "Short.", "word " * 150, "POISON"]))
TEXTS = st.lists(BLOCKS, max_size=8).map("\n\n".join)


class Corpus(RuleBasedStateMachine):
    """People edit, the flow runs now and then."""

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.source = MemorySource({"a.md": b"# Pumps\n\nThe first page."})
        self.engine = new_catalog(Path(self.folder.name))
        self.bench = new_bench(Path(self.folder.name), self.source, engine=self.engine)
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
        self.read_it()

    @precondition(lambda self: any(b"POISON" not in data for data in self.source.contents.values()))
    @rule()
    def ingest_only(self) -> None:
        ingest(self.bench)
        self.read_it()

    def read_it(self) -> None:
        snapshot = published_snapshot(self.bench)
        documents = self.bench.catalog.documents("default", snapshot.number)
        chunks = {chunk_id for document in documents for chunk_id in document.chunk_ids}
        assert self.bench.index.chunk_ids(snapshot.collection, snapshot.number) == chunks
        assert (snapshot.documents, snapshot.chunks) == (len(documents), len(chunks))
        self.answers.setdefault(snapshot.number, self.ask(snapshot.number))

    def ask(self, number: int) -> list[Hit]:
        snapshot = published_snapshot(self.bench, number)
        embedder = WordEmbedder("any")
        wanted = RetrievalSettings(k=5)
        return search(self.bench.index, embedder, snapshot.collection, number, "pump seal H300", wanted)

    @invariant()
    def every_published_snapshot_answers_as_it_did(self) -> None:
        for number, answer in getattr(self, "answers", {}).items():
            assert self.ask(number) == answer

    def teardown(self) -> None:
        if hasattr(self, "engine"):
            self.engine.dispose()
            self.folder.cleanup()


TestIncrementalEqualsRebuild = Corpus.TestCase
TestIncrementalEqualsRebuild.settings = settings(
    max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def test_vectors_of_the_fake_are_unit_length() -> None:
    vectors = WordEmbedder().embed(["a", "b c"])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
