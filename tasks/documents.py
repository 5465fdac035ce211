"""Steps from what a scan found to the draft of the next snapshot: plan, read; and the search of a published one.

`tasks/sources.py` comes before, `tasks/snapshots.py` after. Every step may be run again: what it computed is in a
cache, and what it wrote is under a lease.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace

from tasks.core.changes import check_deletions, vanished, what_changed
from tasks.core.chunking import ChunkSettings, cut
from tasks.core.document_catalog import (
    Bytes,
    DocumentCache,
    DocumentCatalog,
    Lease,
    Leases,
    Quarantined,
    RegisteredSource,
    counted,
    unread,
)
from tasks.core.documents import Element, Snapshot
from tasks.core.errors import NotFound, Stopped, UsageError
from tasks.core.fingerprints import collection_name, content_hash, pipeline_fingerprint
from tasks.core.ingestion import Draft, Plan, ReadDocument, Scan, ScannedFile, draft_of
from tasks.core.ports import Embedder, Parser, Progress, Source, Unparsable, VectorIndex

EMPTY = content_hash(b"")
READ_PORTION = 200  # documents whose cached elements are looked up, and held in memory, together
KEEP_SECONDS = 1.0  # of parsing between two commits: the most that a kill can cost


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
    open_source: Callable[[RegisteredSource], Source]
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


stopping: ContextVar[threading.Event | None] = ContextVar("stopping", default=None)
"""Set by whoever runs a step in a thread and is told to stop: a thread cannot be interrupted from outside."""


class LeaseRenewal:
    """Renews a lease every quarter of its time, as often as a loop asks; without a lease it renews nothing."""

    def __init__(self, bench: DocumentsBench, lease: Lease | None) -> None:
        self._bench = bench
        self._lease = lease
        self._due = 0.0

    def __call__(self) -> None:
        """Raises LeaseLost when another run took over, and Stopped when this one is to end."""
        stop = stopping.get()
        if stop is not None and stop.is_set():
            raise Stopped("The run was stopped. What was parsed and embedded is kept; run again to go on.")
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
    _refuse_clashes(found, {document.uri: document.source for document in live if document.source not in names})
    held_back = _held_back(bench, found, retry_quarantined)
    refused = {q.uri for q in held_back}
    readable = {file.document: file.content_hash for file in found.files if file.document not in refused}
    seen = readable | {uri: digest for uri, digest in live_here.items() if uri in refused}
    if not seen and not live_here:
        _refuse_empty(bench, found)
    changes = what_changed(live_here, seen)
    limit = bench.max_delete_fraction if max_delete_fraction is None else max_delete_fraction
    lost = set(vanished(live_here, seen, changes)) | {uri for uri in changes.changed if seen[uri] == EMPTY}
    for name in sorted(names):  # one by one: a small source that vanished must not hide behind a large one
        its = {document.uri for document in live if document.source == name}
        check_deletions(len(lost & its), len(its), limit)
    cut_otherwise = {document.uri for document in live if document.pipeline != bench.pipeline}
    wanted = {*changes.added, *changes.changed, *(cut_otherwise & readable.keys())}
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


def _refuse_clashes(found: Scan, elsewhere: Mapping[str, str]) -> None:
    clash = next((file for file in found.files if file.document in elsewhere), None)
    if clash is not None:
        raise UsageError(
            f"{clash.path} of source {clash.source} and a document of source {elsewhere[clash.document]} would both be "
            f"the document {clash.document}. Rename one, or register a source under another name.",
        )


def _held_back(bench: DocumentsBench, found: Scan, retry_quarantined: bool) -> tuple[Quarantined, ...]:
    """The files not worth reading: refused by this scan, or by an earlier run for the same bytes and limits."""
    if retry_quarantined:
        return found.refused
    hashes = {file.document: file.content_hash for file in found.files}
    known = bench.catalog.quarantined(bench.assistant)
    same = (q for q in known if q.parser == bench.refusal_key and hashes.get(q.uri) == q.content_hash)
    now = time.time()
    return (*found.refused, *(q for q in same if q.retry_at is None or now < q.retry_at))


def _refuse_empty(bench: DocumentsBench, found: Scan) -> None:
    where = ", ".join(source.uri for source in found.sources)
    reasons = "".join(f"\n  {q.uri}: {q.reason}" for q in found.refused[:10])
    raise UsageError(
        f"There are no readable documents in {where} ({found.skipped:,} files of other kinds, {len(found.refused):,} "
        f"refused). Readable are {' '.join(bench.parser.readable)}.{reasons}",
        skipped=found.skipped,
        refused=len(found.refused),
    )


# ── from bytes to chunks ─────────────────────────────────────────────────────────────────────────────────────────────


def read(bench: DocumentsBench, todo: Plan, lease: Lease | None = None, progress: Progress | None = None) -> Draft:
    """Parses and cuts what changed; a document that cannot be read is quarantined and costs only itself.

    Writes nothing but the cache of parsed elements, document by document. A plan needs no lease.
    """
    keep_lease = LeaseRenewal(bench, lease)
    tries = {(q.uri, q.content_hash): q.tries for q in bench.catalog.quarantined(bench.assistant)}
    documents: list[ReadDocument] = []
    unreadable: list[Quarantined] = []
    for done, result in enumerate(results(bench, todo.scan.opened, todo.to_read), start=1):
        keep_lease()
        if isinstance(result, Quarantined):
            unreadable.append(counted(result, tries.get((result.uri, result.content_hash), 0)))
        else:
            documents.append(result)
        if progress:
            progress("read", done, len(todo.to_read))
    draft = draft_of(todo, tuple(documents), tuple(unreadable))
    if todo.before is None and not draft.documents:
        _refuse_empty(bench, replace(todo.scan, refused=draft.quarantined))
    return draft


def results(
    bench: DocumentsBench, opened: Mapping[str, Source], files: Sequence[ScannedFile]
) -> Iterator[ReadDocument | Quarantined]:
    """One result per file, portion by portion; those first that were parsed once before. opened: sources by name."""
    for start in range(0, len(files), READ_PORTION):
        portion = files[start : start + READ_PORTION]
        known = bench.cache.elements([_bytes(file) for file in portion], bench.parser.fingerprint)
        for file in portion:
            if _bytes(file) in known:
                yield _cut(bench, file, file.content_hash, known[_bytes(file)])
        yield from _parse(bench, opened, [file for file in portion if _bytes(file) not in known])


def _bytes(file: ScannedFile) -> Bytes:
    return Bytes(file.content_hash, file.kind)


def _parse(
    bench: DocumentsBench, opened: Mapping[str, Source], files: Sequence[ScannedFile]
) -> Iterator[ReadDocument | Quarantined]:
    """The parser reads ahead: while one document is cut here, it works on the next ones."""
    handed: deque[tuple[ScannedFile, str]] = deque()
    lost: list[Quarantined] = []

    def contents() -> Iterator[tuple[str, bytes]]:
        for file in files:
            try:
                data = opened[file.source].read(file.path)
            except NotFound as error:
                lost.append(unread(file.document, file.source, bench.refusal_key, error.message))
                continue
            handed.append((file, content_hash(data)))  # what is parsed now counts, should it have changed since
            yield file.path, data

    parsed = ParsedSoFar(bench)
    for result in bench.parser.parse(contents()):
        file, digest = handed.popleft()
        if isinstance(result, Unparsable):
            yield _refused(bench, file, digest, result)
        else:
            parsed.add(Bytes(digest, file.kind), result.elements)
            yield _cut(bench, file, digest, result.elements)
    parsed.keep()
    yield from lost


class ParsedSoFar:
    """Elements on their way into the cache, once a second: a commit for every document would cost more than parsing."""

    def __init__(self, bench: DocumentsBench) -> None:
        self._bench = bench
        self._waiting: dict[Bytes, tuple[Element, ...]] = {}
        self._kept = time.monotonic()

    def add(self, what: Bytes, elements: tuple[Element, ...]) -> None:
        """Remembers it now or soon."""
        self._waiting[what] = elements
        if time.monotonic() - self._kept > KEEP_SECONDS:
            self.keep()

    def keep(self) -> None:
        """Remembers all of it now."""
        if self._waiting:
            self._bench.cache.keep_elements(self._waiting, self._bench.parser.fingerprint)
        self._waiting = {}
        self._kept = time.monotonic()


def _refused(bench: DocumentsBench, file: ScannedFile, digest: str, why: Unparsable) -> Quarantined:
    retry_at = time.time() if why.transient else None
    return Quarantined(file.document, file.source, digest, bench.refusal_key, why.reason, retry_at=retry_at)


def _cut(bench: DocumentsBench, file: ScannedFile, digest: str, elements: tuple[Element, ...]) -> ReadDocument:
    return ReadDocument(file.document, file.source, digest, cut(file.document, elements, bench.chunking))


# ── reading what is published ────────────────────────────────────────────────────────────────────────────────────────


def published_snapshot(bench: DocumentsBench, number: int | None = None) -> Snapshot:
    """A published snapshot, by default the newest. Raises NotFound."""
    snapshot = bench.catalog.published(bench.assistant, number)
    if snapshot is None:
        which = "snapshot" if number is None else f"published snapshot {number}"
        raise NotFound(f"Assistant {bench.assistant} has no {which} yet. Make one: `ratchet ingest PATH`.")
    return snapshot
