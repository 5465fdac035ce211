"""Steps from what a scan found to the draft of the next snapshot: plan, read; and the search of a published one.

`tasks/sources.py` comes before, `tasks/snapshots.py` after. Every step may be run again: what it computed is in a
cache, and what it wrote is under a lease.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from tasks.core.changes import check_deletions, vanished, what_changed
from tasks.core.chunking import ChunkSettings, cut
from tasks.core.document_catalog import (
    DocumentCache,
    DocumentCatalog,
    Lease,
    Leases,
    Quarantined,
    unread,
)
from tasks.core.documents import Element, Hit, Snapshot
from tasks.core.errors import NotFound, UsageError
from tasks.core.fingerprints import collection_name, content_hash, pipeline_fingerprint
from tasks.core.ingestion import Draft, Plan, ReadDocument, Scan, ScannedFile, draft_of
from tasks.core.ports import Embedder, Parser, Progress, Source, Unparsable, VectorIndex
from tasks.core.releases import RetrievalSettings


@dataclass(frozen=True, slots=True)
class DocumentsBench:
    """What the steps of re-ingestion need, for one assistant."""

    assistant: str
    catalog: DocumentCatalog
    cache: DocumentCache
    leases: Leases
    index: VectorIndex
    parser: Parser
    embedder: Embedder
    open_source: Callable[[str], Source]
    max_delete_fraction: float = 0.2
    lease_seconds: float = 120
    chunking: ChunkSettings = field(default_factory=ChunkSettings)

    @property
    def pipeline(self) -> str:
        """Fingerprint of all that turns bytes into chunks and vectors."""
        return pipeline_fingerprint(self.parser.fingerprint, self.chunking.fingerprint, self.embedder.fingerprint)

    @property
    def refusal_key(self) -> str:
        """What a refused document was refused by; it is tried again when this changes."""
        return f"{self.parser.fingerprint} {self.parser.limits}"


@contextmanager
def holding_lease(bench: DocumentsBench) -> Iterator[Lease]:
    """The right to build and publish, given back at the end. Raises AssistantBusy."""
    lease = bench.leases.acquire(f"documents/{bench.assistant}", bench.lease_seconds)
    try:
        yield lease
    finally:
        bench.leases.release(lease)


class LeaseRenewal:
    """Renews a lease every quarter of its time, as often as a loop asks. Without a lease it does nothing."""

    def __init__(self, bench: DocumentsBench, lease: Lease | None) -> None:
        self._bench = bench
        self._lease = lease
        self._due = 0.0

    def __call__(self) -> None:
        """Raises LeaseLost when another run took over."""
        if self._lease is not None and time.monotonic() >= self._due:
            self._bench.leases.renew(self._lease, self._bench.lease_seconds)
            self._due = time.monotonic() + self._bench.lease_seconds / 4


# ── what to do about it ──────────────────────────────────────────────────────────────────────────────────────────────


def plan(
    bench: DocumentsBench,
    found: Scan,
    *,
    max_delete_fraction: float | None = None,
    retry_quarantined: bool = False,
) -> Plan:
    """What has changed since the newest snapshot. Does not write.

    Raises TooManyDeletions, and UsageError when a new source has no documents.
    retry_quarantined: also reads again what was refused before and has not changed since.
    """
    before = bench.catalog.published(bench.assistant)
    live = bench.catalog.documents(bench.assistant, before.number) if before else ()
    names = {source.name for source in found.sources}
    live_here = {document.uri: document.content_hash for document in live if document.source in names}
    held_back = _held_back(bench, found, retry_quarantined)
    refused = {q.uri for q in held_back}
    readable = {file.document: file.content_hash for file in found.files if file.document not in refused}
    seen = readable | {uri: digest for uri, digest in live_here.items() if uri in refused}
    if not seen and not live_here:
        _refuse_empty(found)
    changes = what_changed(live_here, seen)
    limit = bench.max_delete_fraction if max_delete_fraction is None else max_delete_fraction
    check_deletions(len(vanished(live_here, seen, changes)), len(live_here), limit)
    pipeline_changed = before is not None and before.pipeline != bench.pipeline
    wanted = set(readable) if pipeline_changed else {*changes.added, *changes.changed}
    return Plan(
        assistant=bench.assistant,
        before=before,
        live=live,
        changes=changes,
        to_read=tuple(file for file in found.files if file.document in wanted),
        quarantined=held_back,
        pipeline=bench.pipeline,
        collection=collection_name(bench.assistant, bench.embedder.fingerprint),
        scan=found,
    )


def _held_back(bench: DocumentsBench, found: Scan, retry_quarantined: bool) -> tuple[Quarantined, ...]:
    """The files not worth reading: refused by this scan, or by an earlier run for the same bytes and limits."""
    if retry_quarantined:
        return found.refused
    hashes = {file.document: file.content_hash for file in found.files}
    known = bench.catalog.quarantined(bench.assistant)
    again = (q for q in known if q.parser == bench.refusal_key and hashes.get(q.uri) == q.content_hash)
    return (*found.refused, *again)


def _refuse_empty(found: Scan) -> None:
    where = ", ".join(source.uri for source in found.sources)
    reasons = "".join(f"\n  {q.uri}: {q.reason}" for q in found.refused[:10])
    raise UsageError(
        f"There are no readable documents in {where} ({found.skipped:,} files of other kinds, {len(found.refused):,} "
        f"refused). Readable are .md .html .docx .txt .pdf .csv .pptx .xlsx.{reasons}",
        skipped=found.skipped,
        refused=len(found.refused),
    )


# ── from bytes to chunks ─────────────────────────────────────────────────────────────────────────────────────────────


def read(bench: DocumentsBench, todo: Plan, lease: Lease | None = None, progress: Progress | None = None) -> Draft:
    """Parses and cuts what changed; a document that cannot be read is quarantined and costs only itself.

    Writes nothing but the cache of parsed elements, document by document. A plan needs no lease.
    """
    keep_lease = LeaseRenewal(bench, lease)
    opened = {source.name: bench.open_source(source.uri) for source in todo.scan.sources}
    documents: list[ReadDocument] = []
    unreadable: list[Quarantined] = []
    for done, file in enumerate(todo.to_read, start=1):
        keep_lease()
        result = _read_one(bench, opened[file.source], file)
        if isinstance(result, Quarantined):
            unreadable.append(result)
        else:
            documents.append(result)
        if progress:
            progress("read", done, len(todo.to_read))
    draft = draft_of(todo, tuple(documents), tuple(unreadable))
    if todo.before is None and not draft.documents:
        _refuse_empty(replace(todo.scan, refused=draft.quarantined))
    return draft


def _read_one(bench: DocumentsBench, source: Source, file: ScannedFile) -> ReadDocument | Quarantined:
    digest = file.content_hash
    elements: tuple[Element, ...] | Unparsable | None
    elements = bench.cache.elements(digest, bench.parser.fingerprint, file.kind)
    if elements is None:
        try:
            data = source.read(file.path)
        except NotFound as error:
            return unread(file.document, file.source, bench.refusal_key, error.message)
        digest = content_hash(data)  # what is parsed now counts, should the file have changed since the scan
        elements = _parsed(bench, file, digest, data)
    if isinstance(elements, Unparsable):
        return Quarantined(file.document, file.source, digest, bench.refusal_key, elements.reason)
    return ReadDocument(file.document, file.source, digest, cut(file.document, elements, bench.chunking))


def _parsed(bench: DocumentsBench, file: ScannedFile, digest: str, data: bytes) -> tuple[Element, ...] | Unparsable:
    (result,) = bench.parser.parse([(file.path, data)])
    if isinstance(result, Unparsable):
        return result
    bench.cache.keep_elements(digest, bench.parser.fingerprint, file.kind, result.elements)
    return result.elements


# ── reading what is published ────────────────────────────────────────────────────────────────────────────────────────


def published_snapshot(bench: DocumentsBench, number: int | None = None) -> Snapshot:
    """A published snapshot, by default the newest. Raises NotFound."""
    snapshot = bench.catalog.published(bench.assistant, number)
    if snapshot is None:
        which = "snapshot" if number is None else f"published snapshot {number}"
        raise NotFound(f"Assistant {bench.assistant} has no {which} yet. Make one: `ratchet ingest PATH`.")
    return snapshot


def search(
    index: VectorIndex, embedder: Embedder, collection: str, snapshot: int, text: str, settings: RetrievalSettings
) -> list[Hit]:
    """The best chunks of a published snapshot for a text, best first."""
    (vector,) = embedder.embed([text])
    return index.search(collection, snapshot, text, vector, settings)
