"""Fast stand-ins for the outside of the documents stage, honest to the ports: no model, no subprocess."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine

from infra.adapters.catalog.database import engine_for
from infra.adapters.catalog.document_cache import CatalogDocumentCache
from infra.adapters.catalog.documents import CatalogDocuments
from infra.adapters.catalog.leases import CatalogLeases
from infra.adapters.catalog.tables import metadata
from infra.adapters.embedded_index import EmbeddedIndex
from infra.adapters.folder_source import FolderSource
from tasks.core.document_catalog import RegisteredSource
from tasks.core.documents import Element, Hit, SourceFile
from tasks.core.errors import NotFound
from tasks.core.ingestion import IngestReport
from tasks.core.ports import Embedder, Parsed, Source, Unparsable, VectorIndex
from tasks.core.releases import RetrievalSettings
from tasks.core.retrieval import words
from tasks.documents import DocumentsBench, holding_lease, plan, read
from tasks.snapshots import build, embed, predict, publish
from tasks.sources import resolve_sources, scan


@dataclass
class WordEmbedder:
    """A text's vector is the sum of a fixed random vector per word, made unit length: near texts have near vectors."""

    name: str = "words-1"
    dimensions: int = 32
    usd_per_million_tokens: float = 0.0
    counts_tokens_exactly: bool = True
    embedded: list[str] = field(default_factory=list)

    @property
    def fingerprint(self) -> str:
        return self.name

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.embedded.extend(texts)
        vectors = np.stack([self._vector(text) for text in texts]) if texts else np.zeros((0, self.dimensions))
        return vectors.astype(np.float32)

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.embed(texts)

    def count_tokens(self, texts: Sequence[str]) -> int:
        return sum(len(words(text)) for text in texts)

    def _vector(self, text: str) -> NDArray[np.float64]:
        total = np.full(self.dimensions, 1e-3)
        for word in [self.name, *words(text)]:
            total = total + _word_vector(word, self.dimensions)
        return total / np.linalg.norm(total)


@cache
def _word_vector(word: str, dimensions: int) -> NDArray[np.float64]:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big")
    return np.random.default_rng(seed).standard_normal(dimensions)


@dataclass
class LineParser:
    """`# ` begins a heading, an empty line ends a paragraph, and a document that says POISON cannot be read."""

    version: str = "lines-1"
    limits: str = "none"
    readable: tuple[str, ...] = (".md", ".txt")
    largest: int = 10_000_000
    parsed: list[str] = field(default_factory=list)

    @property
    def fingerprint(self) -> str:
        return self.version

    def refuses(self, uri: str, size_bytes: int) -> str | None:
        return f"it has {size_bytes} bytes; the limit is {self.largest}" if size_bytes > self.largest else None

    def kind(self, uri: str) -> str | None:
        return ".md" if uri.endswith((".md", ".txt")) else None

    def parse(self, files: Iterable[tuple[str, bytes]]) -> Iterator[Parsed | Unparsable]:
        for uri, data in files:
            self.parsed.append(uri)
            text = data.decode()
            yield Unparsable(uri, "it says POISON") if "POISON" in text else Parsed(uri, tuple(_elements(text)))


def _elements(text: str) -> Iterator[Element]:
    for block in filter(None, (block.strip() for block in text.split("\n\n"))):
        if block.startswith("#"):
            marks, _, title = block.partition(" ")
            yield Element("heading", title, level=len(marks))
        else:
            yield Element("paragraph", block)


@dataclass
class MemorySource:
    """Files in a dictionary; `touches` changes every hint, as touching every file would."""

    contents: dict[str, bytes]
    uri: str = "memory:docs"
    touches: int = 0

    def files(self) -> Iterator[SourceFile]:
        for uri in sorted(self.contents):
            data = self.contents[uri]
            yield SourceFile(uri, len(data), f"{self.touches}-{hashlib.md5(data).hexdigest()}")

    def read(self, uri: str) -> bytes:
        if uri not in self.contents:
            raise NotFound(f"{uri} is gone.")
        return self.contents[uri]

    def write(self, uri: str, text: str) -> None:
        self.contents[uri] = text.encode()


def new_catalog(folder: Path, name: str = "catalog") -> Engine:
    """A real catalog in a file of its own."""
    engine = engine_for(f"sqlite:///{folder / name}.sqlite")
    metadata.create_all(engine)
    return engine


def new_bench(
    folder: Path,
    source: MemorySource | None = None,
    *,
    engine: Engine | None = None,
    index: VectorIndex | None = None,
    name: str = "catalog",
) -> DocumentsBench:
    """The steps' bench with the real catalog and index, and the parser and embedder of this file."""
    engine = engine or new_catalog(folder, name)

    def open_source(registered: RegisteredSource) -> Source:
        return source if source is not None else FolderSource(registered.uri)

    return DocumentsBench(
        assistant="default",
        catalog=CatalogDocuments(engine),
        cache=CatalogDocumentCache(engine),
        leases=CatalogLeases(engine),
        index=index or EmbeddedIndex(folder / f"{name}-index.sqlite"),
        parser=LineParser(),
        embedder=WordEmbedder(),
        open_source=open_source,
        max_delete_fraction=1.0,
    )


def ingest(bench: DocumentsBench, location: str | None = "memory:docs", name: str | None = None) -> IngestReport:
    """All steps in the order of the flow `reingest-docs`."""
    with holding_lease(bench) as lease:
        todo = plan(bench, scan(bench, resolve_sources(bench, location, name)))
        embedded = embed(bench, read(bench, todo, lease), lease)
        return publish(bench, build(bench, embedded, lease), lease)


def foresee(bench: DocumentsBench, location: str | None = "memory:docs") -> IngestReport:
    """What `ingest` would do."""
    return predict(bench, read(bench, plan(bench, scan(bench, resolve_sources(bench, location)))))


def find(
    bench: DocumentsBench,
    number: int,
    text: str,
    k: int = 10,
    embedder: Embedder | None = None,
    fusion: Literal["rrf", "vector"] = "rrf",
) -> list[Hit]:
    """What the index finds at a published snapshot, unchecked."""
    snapshot = bench.catalog.published(bench.assistant, number)
    assert snapshot is not None
    (vector,) = (embedder or bench.embedder).embed([text])
    return bench.index.search(snapshot.collection, number, text, vector, RetrievalSettings(k=k, fusion=fusion))


def rebuilt(bench: DocumentsBench, folder: Path, source: MemorySource) -> IngestReport:
    """The same sources into an index built from nothing."""
    engine = new_catalog(folder, "rebuilt")
    fresh = replace(
        bench,
        catalog=CatalogDocuments(engine),
        cache=CatalogDocumentCache(engine),
        leases=CatalogLeases(engine),
        index=EmbeddedIndex(folder / "rebuilt-index.sqlite"),
        open_source=lambda registered: source,
    )
    try:
        return ingest(fresh)
    finally:
        engine.dispose()
