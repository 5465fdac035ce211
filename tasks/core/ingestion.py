"""The values that pass from step to step while a snapshot is made, and the report that comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tasks.core.changes import Changes
from tasks.core.document_catalog import (
    BornDocument,
    Hint,
    LiveDocument,
    Publication,
    Quarantined,
    RegisteredSource,
)
from tasks.core.documents import Chunk, Snapshot
from tasks.core.fingerprints import document_digest, manifest_hash
from tasks.core.ports import Source


@dataclass(frozen=True, slots=True)
class ScannedFile:
    """A file that a reader exists for, with the hash of its bytes."""

    document: str  # the document's URI
    source: str
    path: str  # inside the source
    kind: str
    content_hash: str


@dataclass(frozen=True, slots=True)
class Scan:
    """What is in the sources now."""

    sources: tuple[RegisteredSource, ...]
    opened: Mapping[str, Source]  # by name: what is read later is the state that was scanned
    files: tuple[ScannedFile, ...]
    refused: tuple[Quarantined, ...]  # not worth reading, or not readable
    hints: tuple[Hint, ...]  # new or changed
    stale_hints: tuple[Hint, ...]  # changed or gone
    skipped: int  # files of kinds that no reader exists for
    started: float  # monotonic seconds


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run has to do."""

    assistant: str
    before: Snapshot | None
    live: tuple[LiveDocument, ...]  # all documents of `before`
    changes: Changes  # of the scanned sources
    to_read: tuple[ScannedFile, ...]
    quarantined: tuple[Quarantined, ...]  # known to be unreadable: not tried again
    pipeline: str
    collection: str
    scan: Scan

    @property
    def number(self) -> int:
        """The number of the snapshot that would be built."""
        return self.before.number + 1 if self.before else 1

    @property
    def re_embeds(self) -> bool:
        """Whether the vectors of `before` belong to another embedder."""
        return self.before is not None and self.before.collection != self.collection


@dataclass(frozen=True, slots=True)
class ReadDocument:
    """A document of the next snapshot, with its chunks in reading order."""

    uri: str
    source: str
    content_hash: str
    chunks: tuple[Chunk, ...]

    def as_born(self, pipeline: str) -> BornDocument:
        """The document as the catalog keeps it."""
        chunk_ids = tuple(chunk.id for chunk in self.chunks)
        digest = document_digest(self.uri, self.content_hash, chunk_ids)
        live = LiveDocument(self.uri, self.source, self.content_hash, digest, len(chunk_ids), pipeline)
        return BornDocument(live, chunk_ids)


@dataclass(frozen=True, slots=True)
class Draft:
    """The next snapshot as it will be, before anything of it is stored."""

    plan: Plan
    read: tuple[ReadDocument, ...]
    quarantined: tuple[Quarantined, ...]  # all of the scanned sources
    born: tuple[BornDocument, ...]  # sorted by URI; a changed document is born and died
    died: tuple[str, ...]  # URIs of documents
    documents: int
    chunks: int
    manifest_hash: str

    @property
    def is_new(self) -> bool:
        """Whether it differs from the snapshot before in anything that counts."""
        return self.plan.before is None or self.plan.before.manifest_hash != self.manifest_hash

    @property
    def chunks_read(self) -> Mapping[str, Chunk]:
        """The chunks of the documents that were read."""
        return {chunk.id: chunk for document in self.read for chunk in document.chunks}


@dataclass(frozen=True, slots=True)
class ChangedDocument:
    """A line of what a run changes. chunks: it has now; why: it is refused."""

    uri: str
    change: Literal["added", "changed", "deleted", "quarantined"]
    chunks: int = 0
    why: str = ""


def changed_documents(draft: Draft) -> list[ChangedDocument]:
    """What differs from the snapshot before, refused ones first, then by URI."""
    refused = {one.uri for one in draft.quarantined}
    was = {one.uri for one in draft.plan.live}
    born = [
        ChangedDocument(one.document.uri, "changed" if one.document.uri in was else "added", one.document.chunk_count)
        for one in draft.born
    ]
    deleted = [ChangedDocument(uri, "deleted") for uri in draft.plan.changes.deleted if uri not in refused]
    return [
        *(ChangedDocument(one.uri, "quarantined", why=one.reason) for one in draft.quarantined),
        *sorted((*born, *deleted), key=lambda one: one.uri),
    ]


def draft_of(plan: Plan, read: tuple[ReadDocument, ...], unreadable: tuple[Quarantined, ...]) -> Draft:
    """The next snapshot. A document that became unreadable stays as it was: old text is better than none."""
    was = {document.uri: document for document in plan.live}
    gone = set(plan.changes.deleted)
    found = {document.uri: document.as_born(plan.pipeline) for document in read}
    born = tuple(found[uri] for uri in sorted(found) if was.get(uri) != found[uri].document)
    after = {uri: document for uri, document in was.items() if uri not in gone}
    after |= {one.document.uri: one.document for one in born}
    return Draft(
        plan=plan,
        read=read,
        quarantined=tuple(sorted((*plan.quarantined, *unreadable), key=lambda q: q.uri)),
        born=born,
        died=tuple(sorted(gone | {one.document.uri for one in born if one.document.uri in was})),
        documents=len(after),
        chunks=sum(document.chunk_count for document in after.values()),
        manifest_hash=manifest_hash(plan.pipeline, (document.digest for document in after.values())),
    )


@dataclass(frozen=True, slots=True)
class Embedded:
    """A draft whose every chunk has a vector in the cache. embeds: texts sent to the embedder for it."""

    draft: Draft
    embeds: int
    tokens: int
    tokens_exact: bool  # or estimated, by an embedder whose tokenizer is not here
    cost_usd: float


@dataclass(frozen=True, slots=True)
class Built:
    """A snapshot that the index holds whole and nobody sees; `publication` is None when nothing changed."""

    embedded: Embedded
    publication: Publication | None


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What a run did, or, when `is_plan`, what it would do."""

    snapshot: int
    manifest_hash: str
    documents: Mapping[str, int]
    chunks: Mapping[str, int]
    embeds: int
    tokens: int
    tokens_exact: bool
    cost_usd: float
    seconds: float
    skipped: int
    quarantine: tuple[Quarantined, ...] = field(repr=False)
    is_new: bool
    is_plan: bool

    @property
    def sentence(self) -> str:
        """What came of it, for a log."""
        if not self.is_new:
            return f"Snapshot {self.snapshot} is up to date: {self.documents['unchanged']:,} documents are unchanged"
        counts = ", ".join(
            f"{self.documents[kind]:,} {kind}" for kind in ("added", "changed", "deleted", "quarantined")
        )
        would = "would be " if self.is_plan else ""
        return f"Snapshot {self.snapshot} {would}published: {counts} documents; {self.embeds:,} texts embedded"

    def as_json(self) -> dict[str, object]:
        """The object `ratchet ingest --json` prints."""
        return {
            "snapshot": self.snapshot,
            "manifest_hash": self.manifest_hash,
            "documents": dict(self.documents),
            "chunks": dict(self.chunks),
            "embeds": self.embeds,
            "tokens": self.tokens,
            "tokens_exact": self.tokens_exact,
            "cost_usd": self.cost_usd,
            "seconds": round(self.seconds, 3),
            "skipped": self.skipped,
            "quarantine": [{"document": q.uri, "reason": q.reason} for q in self.quarantine],
            "new": self.is_new,
            "plan": self.is_plan,
        }


def report_on(
    embedded: Embedded, *, born: int, died: int, seconds: float, is_plan: bool, elsewhere: tuple[Quarantined, ...] = ()
) -> IngestReport:
    """The report. elsewhere: what is in quarantine in sources that were not scanned."""
    draft = embedded.draft
    plan, before = draft.plan, draft.plan.before
    held_back = {q.uri for q in draft.quarantined}
    documents = {
        "added": len(set(plan.changes.added) - held_back),
        "changed": len(set(plan.changes.changed) - held_back),
        "deleted": len(plan.changes.deleted),
        "unchanged": 0,
        "quarantined": len(draft.quarantined) + len(elsewhere),
    }
    documents["unchanged"] = draft.documents - documents["added"] - documents["changed"]
    return IngestReport(
        snapshot=before.number if before and not draft.is_new else plan.number,
        manifest_hash=draft.manifest_hash,
        documents=documents,
        chunks={"born": born, "died": died, "live": draft.chunks},
        embeds=embedded.embeds,
        tokens=embedded.tokens,
        tokens_exact=embedded.tokens_exact,
        cost_usd=embedded.cost_usd,
        seconds=seconds,
        skipped=plan.scan.skipped,
        quarantine=tuple(sorted((*draft.quarantined, *elsewhere), key=lambda q: q.uri)),
        is_new=draft.is_new,
        is_plan=is_plan,
    )
