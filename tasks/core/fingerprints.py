"""The names things get from what they hold: equal contents, equal names, on any machine and at any path."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from tasks.core.releases import canonical_json


def content_hash(data: bytes) -> str:
    """SHA-256 of a document's bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def vector_key(embedder: str, embedded_text: str) -> str:
    """Where the vector of a text is cached: shared by every path, snapshot and assistant."""
    return hashlib.sha256(f"{embedder}\n{embedded_text}".encode()).hexdigest()


def pipeline_fingerprint(parser: str, chunker: str, embedder: str) -> str:
    """Everything that decides which chunks and vectors the same bytes become."""
    return "p-" + hashlib.sha256(canonical_json([parser, chunker, embedder]).encode()).hexdigest()[:32]


def collection_name(assistant: str, embedder: str) -> str:
    """Where the index keeps an assistant's vectors: one collection per embedder, so that vectors never mix."""
    return f"{assistant}-{hashlib.sha256(embedder.encode()).hexdigest()[:8]}"


def document_digest(uri: str, content: str, chunk_ids: Sequence[str]) -> str:
    """SHA-256 of what a snapshot holds of one document: URI, content hash and chunk ids in reading order."""
    return hashlib.sha256(canonical_json([uri, content, list(chunk_ids)]).encode()).hexdigest()


def manifest_hash(pipeline: str, digests: Iterable[str]) -> str:
    """SHA-256 over the pipeline and the digests of all documents, sorted.

    Snapshot numbers, absolute paths and times are not in it: an index kept up to date for a year and one built from
    nothing today have the same hash.
    """
    return hashlib.sha256("\n".join((pipeline, *sorted(digests))).encode()).hexdigest()
