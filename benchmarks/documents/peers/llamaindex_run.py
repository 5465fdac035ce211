"""One ingestion by LlamaIndex's IngestionPipeline: SimpleDocumentStore persisted as JSON, and Chroma on disk.

The strategy is `upserts_and_delete`, the only one that notices deleted files. The pipeline's transformation cache is
off: it is keyed by the whole list of nodes of a run, so it never hits here, and persisting it would cost seconds. The
mode `cache` gives the embedder an `embeddings_cache`, keyed by text and persisted with the rest.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import chromadb
from chromadb.config import Settings
from counting import CountingEmbedder
from llama_index.core import SimpleDirectoryReader
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index.vector_stores.chroma import ChromaVectorStore
from measured import Job, run
from pydantic import PrivateAttr

CHUNK_TOKENS = 256  # about 1,000 characters, less the names of the file that LlamaIndex counts in
DEFAULT_OVERLAP = 50  # as much of a chunk as its default 200 of 1,024


class CountedEmbeddings(BaseEmbedding):
    """The counting embedder as LlamaIndex calls it."""

    _embedder: CountingEmbedder = PrivateAttr()

    def __init__(self, embedder: CountingEmbedder, **settings: Any) -> None:
        super().__init__(model_name="counting-1", embed_batch_size=64, **settings)
        self._embedder = embedder

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._embedder.embed(texts).tolist()

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._embedder.embed_queries([query])[0].tolist()

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)


class LlamaIndex:
    """measured.Tool."""

    def __init__(self, job: Job, embedder: CountingEmbedder) -> None:
        self._corpus = job.corpus
        self._docstore_file = job.state / "docstore.json"
        self._cache_file = job.state / "embeddings.json"
        self._cache = _load(SimpleKVStore, self._cache_file) if job.mode == "cache" else None
        self._docstore = _load(SimpleDocumentStore, self._docstore_file)
        client = chromadb.PersistentClient(str(job.state / "chroma"), Settings(anonymized_telemetry=False))
        self._rows = client.get_or_create_collection("pages")
        self._pipeline = IngestionPipeline(
            transformations=[
                SentenceSplitter(chunk_size=CHUNK_TOKENS, chunk_overlap=DEFAULT_OVERLAP if job.overlap else 0),
                CountedEmbeddings(embedder, embeddings_cache=self._cache),
            ],
            vector_store=ChromaVectorStore(chroma_collection=self._rows),
            docstore=self._docstore,
            docstore_strategy=DocstoreStrategy.UPSERTS_AND_DELETE,
            disable_cache=True,
        )

    def ingest(self) -> int:
        before = self._rows.count()
        reader = SimpleDirectoryReader(
            self._corpus, recursive=True, required_exts=[".md"], filename_as_id=True, raise_on_error=True
        )
        added = len(self._pipeline.run(documents=reader.load_data()))
        self._docstore.persist(str(self._docstore_file))
        if self._cache is not None:
            self._cache.persist(str(self._cache_file))
        removed = before + added - self._rows.count()
        return added + removed

    def count(self) -> int:
        return self._rows.count()

    def documents(self) -> dict[str, int]:
        return Counter(self._name(row) for row in self._rows.get(include=["metadatas"])["metadatas"])

    def texts_with(self, phrase: str) -> list[tuple[str, str]]:
        found = self._rows.get(where_document={"$contains": phrase}, include=["metadatas", "documents"])
        pairs = zip(found["metadatas"], found["documents"], strict=True)
        return [(self._name(row), text) for row, text in pairs]

    def _name(self, row: dict[str, Any]) -> str:
        return Path(row["file_path"]).relative_to(self._corpus).as_posix()


def _load(kind: Any, file: Path) -> Any:
    return kind.from_persist_path(str(file)) if file.exists() else kind()


if __name__ == "__main__":
    run(LlamaIndex, "llama-index-core")
