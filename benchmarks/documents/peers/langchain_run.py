"""One ingestion by LangChain's `index()`: SQLRecordManager on SQLite, and Chroma on disk.

Chroma because it is the store LangChain's own pages use for local work, and it is durable batch by batch. The mode is
the value of `cleanup`, with `+cache` for CacheBackedEmbeddings on a folder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import chromadb
from chromadb.config import Settings
from counting import CountingEmbedder
from langchain_chroma import Chroma
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_classic.indexes import SQLRecordManager
from langchain_classic.storage import LocalFileStore
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.indexing import index
from langchain_text_splitters import Language, RecursiveCharacterTextSplitter
from measured import Job, run

CHUNK_CHARACTERS = 1000
DEFAULT_OVERLAP = 200


class CountedEmbeddings(Embeddings):
    """The counting embedder as LangChain calls it."""

    def __init__(self, embedder: CountingEmbedder) -> None:
        self._embedder = embedder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self._embedder.embed(texts).tolist()

    def embed_query(self, text: str) -> list[float]:
        return self._embedder.embed_queries([text])[0].tolist()


class LangChain:
    """measured.Tool."""

    def __init__(self, job: Job, embedder: CountingEmbedder) -> None:
        self._corpus = job.corpus
        self._cleanup, _, cache = job.mode.partition("+")
        embeddings: Embeddings = CountedEmbeddings(embedder)
        if cache:
            store = LocalFileStore(job.state / "embeddings")
            embeddings = CacheBackedEmbeddings.from_bytes_store(
                embeddings, store, namespace="counting-1", key_encoder="sha256"
            )
        client = chromadb.PersistentClient(str(job.state / "chroma"), Settings(anonymized_telemetry=False))
        self._store = Chroma("pages", embeddings, client=client)
        self._rows = client.get_collection("pages")
        self._records = SQLRecordManager("chroma/pages", db_url=f"sqlite:///{job.state / 'records.sqlite'}")
        self._records.create_schema()
        self._splitter = RecursiveCharacterTextSplitter.from_language(
            Language.MARKDOWN, chunk_size=CHUNK_CHARACTERS, chunk_overlap=DEFAULT_OVERLAP if job.overlap else 0
        )

    def ingest(self) -> int:
        done = index(
            self._chunks(),
            self._records,
            self._store,
            cleanup=self._cleanup,
            source_id_key="source",
            key_encoder="blake2b",
        )
        return done["num_added"] + done["num_updated"] + done["num_deleted"]

    def _chunks(self) -> Iterator[Document]:
        for path in sorted(self._corpus.rglob("*.md")):
            source = path.relative_to(self._corpus).as_posix()
            page = Document(path.read_text(encoding="utf-8"), metadata={"source": source})
            yield from self._splitter.split_documents([page])

    def count(self) -> int:
        return self._rows.count()

    def documents(self) -> dict[str, int]:
        return Counter(row["source"] for row in self._rows.get(include=["metadatas"])["metadatas"])

    def texts_with(self, phrase: str) -> list[tuple[str, str]]:
        found = self._rows.get(where_document={"$contains": phrase}, include=["metadatas", "documents"])
        pairs = zip(found["metadatas"], found["documents"], strict=True)
        return [(row["source"], text) for row, text in pairs]


if __name__ == "__main__":
    run(LangChain, "langchain-core")
