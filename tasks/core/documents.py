"""The values of re-ingestion: files, elements, documents, chunks and the snapshot they make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ElementKind = Literal["heading", "paragraph", "list-item", "table", "code"]
SnapshotState = Literal["building", "published", "abandoned", "reclaimed"]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file a source lists. `hint` changes whenever the bytes may have changed (mtime and size, ETag, blob id)."""

    uri: str  # identity inside the source: a POSIX path relative to its root
    size_bytes: int
    hint: str  # "" when the source cannot vouch for it
    problem: str = ""  # why it must not be read, in a sentence for the person who owns the file


@dataclass(frozen=True, slots=True)
class Element:
    """One block of a parsed document, in reading order."""

    kind: ElementKind
    text: str
    level: int = 0  # headings: 1 (page title) to 6; 0 for everything else
    page: int | None = None  # 1-based, where the format has pages


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document that is embedded and cited. Its id comes from content, never from position."""

    id: str
    document: str  # the document's URI
    heading_path: tuple[str, ...]
    text: str
    page: int | None = None

    @property
    def embedded_text(self) -> str:
        """What the embedder sees, and BM25 indexes: the heading path, then the text."""
        return "\n".join((" > ".join(self.heading_path), self.text)) if self.heading_path else self.text


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A numbered, immutable state of all documents of an assistant."""

    assistant: str
    number: int  # 1, 2, 3 … without gaps among published snapshots
    state: SnapshotState
    manifest_hash: str  # "" while building; equal contents and pipeline give equal hashes
    pipeline: str  # fingerprint of parser, chunker and embedder
    collection: str  # where the index keeps the vectors (one per embedder)
    documents: int
    chunks: int


@dataclass(frozen=True, slots=True)
class IndexedLife:
    """One life of a chunk as the vector index stores it: the snapshots from `born` on, up to and without `died`.

    vector: (dimensions,) float32, unit length, as little-endian bytes.
    """

    chunk: Chunk
    vector: bytes
    born: int
    died: int | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """One retrieved chunk. `score` is what it was ranked by; `similarity` is the cosine with the question, -1 to 1."""

    chunk: Chunk
    score: float
    similarity: float
    before: tuple[Chunk, ...] = ()  # its neighbours in the document, in reading order
    after: tuple[Chunk, ...] = ()
