"""One ingestion by Ratchet's steps, with its embedded index, or Weaviate where RATCHET_WEAVIATE_URL says where.

The mode `plain` reads Markdown in the process itself, as the other tools do; without it the real parser is used, in its
child process with limits.
"""

from __future__ import annotations

import resource
from collections import Counter
from functools import cached_property

import numpy as np
from counting import CountingEmbedder
from measured import Job, run
from ratchet_bench import PlainMarkdown, close, ingest, open_bench

# Imported at first use otherwise, which would count as opening.
from infra.adapters.catalog import document_cache, documents, leases, migrate  # noqa: F401
from infra.adapters.embedded_index import EmbeddedIndex
from infra.adapters.folder_source import FolderSource  # noqa: F401
from infra.adapters.minilm_embedder import MiniLmEmbedder  # noqa: F401
from infra.adapters.unstructured_parser import UnstructuredParser  # noqa: F401
from tasks.core.documents import Snapshot
from tasks.core.releases import RetrievalSettings
from tasks.documents import DocumentsBench

# More than the 50 an answer may be shown: every row that has the phrase.
READER = RetrievalSettings(fusion="bm25").model_copy(update={"k": 10_000})


class Ratchet:
    """measured.Tool. A reader asks the catalog for the newest snapshot and searches that one, as the service does."""

    def __init__(self, job: Job, embedder: CountingEmbedder) -> None:
        self._job = job
        self._embedder = embedder
        self._bench = open_bench(job.state, embedder, PlainMarkdown() if job.mode == "plain" else None)
        if job.mode == "weaviate" and isinstance(self._bench.index, EmbeddedIndex):
            raise SystemExit("this version of ratchet has no Weaviate index")

    def ingest(self) -> int:
        try:
            report = ingest(self._bench, self._job.corpus)
        finally:
            close(self._bench)
        return report.chunks["born"] + report.chunks["died"]

    @cached_property
    def _reader(self) -> DocumentsBench:
        """With connections of its own, as another process would have."""
        return open_bench(self._job.state, self._embedder, PlainMarkdown())

    def count(self) -> int:
        now = self._published()
        return len(self._reader.index.chunk_ids(now.collection, now.number)) if now else 0

    def documents(self) -> dict[str, int]:
        now = self._published()
        assert now is not None
        return Counter(chunk.document for chunk in self._reader.catalog.chunks("default", now.number).values())

    def texts_with(self, phrase: str) -> list[tuple[str, str]]:
        now = self._published()
        if now is None:
            return []
        nothing = np.zeros(self._reader.embedder.dimensions, dtype=np.float32)
        hits = self._reader.index.search(now.collection, now.number, phrase, nothing, READER)
        return [(hit.chunk.document, hit.chunk.text) for hit in hits if phrase in hit.chunk.text]

    def _published(self) -> Snapshot | None:
        return self._reader.catalog.published("default")


def child_rss_mib() -> float:
    """The most memory the parsing process held."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


if __name__ == "__main__":
    run(Ratchet, "ratchet", child_rss_mib)
