"""Retrieval over a real catalog and index that hold the pages a test names, and a reranker anyone can predict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from document_fakes import MemorySource, ingest, new_bench

from tasks.core.candidates import reference
from tasks.core.ports import Reranker
from tasks.core.releases import SnapshotRef
from tasks.core.retrieval import words
from tasks.documents import DocumentsBench
from tasks.retrieval import RetrievalBench


@dataclass
class NumberOfWords:
    """Reranker that likes texts with many words, rounded down to tens; it notes what it read."""

    fingerprint: str = "number-of-words-1"
    read: list[tuple[str, Sequence[str]]] = field(default_factory=list)

    def score(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        self.read.append((question, texts))
        return [len(words(text)) // 10 * 10 for text in texts]


def over(documents: DocumentsBench, rerankers: Mapping[str, Reranker] | None = None) -> RetrievalBench:
    """The retrieval bench of these documents."""
    return RetrievalBench(
        documents.assistant, documents.index, documents.catalog, documents.embedder, (rerankers or {}).__getitem__
    )


def published(
    folder: Path, pages: Mapping[str, str], rerankers: Mapping[str, Reranker] | None = None
) -> tuple[RetrievalBench, SnapshotRef]:
    """A bench over one published snapshot of these pages."""
    documents = new_bench(folder, MemorySource({uri: text.encode() for uri, text in pages.items()}))
    ingest(documents)
    snapshot = documents.catalog.published(documents.assistant)
    assert snapshot is not None
    return over(documents, rerankers), reference(snapshot)
