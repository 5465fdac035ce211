"""What the catalog remembers about documents, and the lease that keeps two runs from writing at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from tasks.core.changes import Turnover
from tasks.core.documents import Chunk, Element, Snapshot


@dataclass(frozen=True, slots=True)
class RegisteredSource:
    """A source of an assistant. The first is named `docs`: its documents' URIs carry no prefix."""

    name: str
    uri: str
    include: tuple[str, ...] = ()  # globs of paths; none: all
    exclude: tuple[str, ...] = ()  # globs of paths that are left out, whatever is included

    def document(self, path: str) -> str:
        """The document URI of a file of this source.

        >>> RegisteredSource("docs", "/handbook").document("pumps/h300.md")
        'pumps/h300.md'
        >>> RegisteredSource("faq", "/faq").document("pumps/h300.md")
        'faq:pumps/h300.md'
        """
        return path if self.name == FIRST_SOURCE else f"{self.name}:{path}"


FIRST_SOURCE = "docs"


@dataclass(frozen=True, slots=True)
class LiveDocument:
    """A document as one snapshot holds it."""

    uri: str
    source: str
    content_hash: str
    digest: str  # of URI, content hash and chunk ids
    chunk_count: int
    pipeline: str  # what cut it; an older one for a document that could not be read since


@dataclass(frozen=True, slots=True)
class BornDocument:
    """A document that is new, or new at its URI, with its chunks in reading order."""

    document: LiveDocument
    chunk_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChunkLife:
    """One life of a chunk: the snapshots from `born` on, up to and without `died`."""

    chunk: Chunk
    vector_key: str
    born: int
    died: int | None


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A file that is not ingested, and why. It is tried again when its bytes, the parser or a limit change."""

    uri: str
    source: str
    content_hash: str
    parser: str  # the parser's fingerprint and limits
    reason: str
    tries: int = 1  # how often these bytes were refused for a reason that may pass
    retry_at: float | None = None  # seconds since the epoch; None: not before the bytes, the parser or a limit change


FIRST_RETRY_SECONDS = 600.0
LONGEST_RETRY_SECONDS = 86_400.0


def counted(refused: Quarantined, tries_before: int) -> Quarantined:
    """The refusal with its number of tries; one whose reason may pass waits twice as long after each, up to a day.

    >>> once = Quarantined("a.pdf", "docs", "hash", "parser", "it took too long", retry_at=1000.0)
    >>> counted(once, 0).retry_at, counted(once, 2).retry_at
    (1600.0, 3400.0)
    """
    if refused.retry_at is None:
        return refused
    wait = min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2**tries_before)
    return replace(refused, tries=tries_before + 1, retry_at=refused.retry_at + wait)


def unread(uri: str, source: str, parser: str, reason: str) -> Quarantined:
    """A file that could not be read. No bytes have the hash it gets, so it is tried again as soon as it can be."""
    return Quarantined(uri, source, "unread", parser, reason)


@dataclass(frozen=True, slots=True)
class Hint:
    """What a source said about a file when its bytes had this hash."""

    source: str
    path: str
    hint: str
    content_hash: str


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to build and publish. The token grows with every holder, so a writer that was overtaken is known."""

    name: str
    holder: str
    token: int


@dataclass(frozen=True, slots=True)
class Accounts:
    """What a run learnt that is no part of a snapshot: where sources are, which files are in quarantine, hints."""

    assistant: str
    sources: tuple[RegisteredSource, ...]  # the ones scanned
    quarantined: tuple[Quarantined, ...]  # all of the scanned sources
    hints: tuple[Hint, ...]  # new or changed since the last snapshot
    stale_hints: tuple[Hint, ...]  # those of the last snapshot that are changed or gone


@dataclass(frozen=True, slots=True)
class Publication:
    """Everything that becomes visible with a snapshot, all at once."""

    snapshot: Snapshot
    born: tuple[BornDocument, ...]
    died: tuple[str, ...]  # document URIs
    chunks_born: tuple[tuple[Chunk, str], ...]  # with the key of the vector
    chunks_died: tuple[str, ...]
    accounts: Accounts


class DocumentCatalog(Protocol):
    """The truth about sources, documents and snapshots. Every write checks the lease in its own transaction."""

    def identity(self) -> str:
        """This catalog's own id, 32 hex digits, made with it: an index is stamped with whose it is."""

    def sources(self, assistant: str) -> tuple[RegisteredSource, ...]:
        """The registered sources, the first one first."""

    def published(self, assistant: str, number: int | None = None) -> Snapshot | None:
        """A published snapshot, by default the newest."""

    def unfinished(self, assistant: str) -> Snapshot | None:
        """The snapshot that a run began and neither published nor abandoned."""

    def documents(self, assistant: str, snapshot: int) -> tuple[LiveDocument, ...]:
        """The documents alive at a snapshot, sorted by URI."""

    def chunk_keys(self, assistant: str, snapshot: int) -> Mapping[str, str]:
        """Chunk id → vector key of every chunk alive at a snapshot."""

    def chunks(self, assistant: str, snapshot: int) -> Mapping[str, Chunk]:
        """Every chunk alive at a snapshot, with its text."""

    def chunk_lives(self, assistant: str, collection: str) -> tuple[ChunkLife, ...]:
        """Every life of every chunk in a collection, in the order of birth: what the index is refilled from."""

    def living(self, assistant: str, snapshot: int, chunk_ids: Sequence[str]) -> tuple[ChunkLife, ...]:
        """The lives of those of the chunks that are alive at a snapshot, sorted by chunk id."""

    def reading_order(self, assistant: str, snapshot: int, documents: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Document URI → its chunk ids in reading order, of those of the documents that are alive at a snapshot."""

    def turnover(self, assistant: str, snapshot: int) -> Turnover:
        """The chunks born with a published snapshot, and those of its own collection that died with it."""

    def snapshots(self, assistant: str) -> tuple[Snapshot, ...]:
        """Every published snapshot that was not reclaimed, oldest first."""

    def reclaimed(self, assistant: str) -> Mapping[int, str]:
        """Number → when (ISO 8601 UTC) of every snapshot that vacuum reclaimed."""

    def hints(self, assistant: str, source: str) -> Mapping[str, Hint]:
        """Path → hint. A cache: it saves hashing and never decides alone."""

    def quarantined(self, assistant: str) -> tuple[Quarantined, ...]:
        """Every file in quarantine, sorted by URI."""

    def begin(self, snapshot: Snapshot, lease: Lease) -> None:
        """Records that `snapshot` is being built. Raises LeaseLost."""

    def abandon(self, snapshot: Snapshot, lease: Lease) -> None:
        """Records that an unfinished snapshot never will be published. Raises LeaseLost."""

    def publish(self, publication: Publication, lease: Lease) -> None:
        """Makes a snapshot and all that belongs to it visible in one transaction. Raises LeaseLost."""

    def settle(self, accounts: Accounts, lease: Lease) -> None:
        """Records what a run learnt when there is no snapshot to publish; writes nothing that is known already."""


class Bytes(NamedTuple):
    """What a parser is given: a content hash, and what the file's name says the bytes are, such as `.docx`."""

    content_hash: str
    kind: str


class DocumentCache(Protocol):
    """Work that is done once in its life. Forgetting any of it costs time, never correctness."""

    def elements(self, wanted: Sequence[Bytes], parser: str) -> Mapping[Bytes, tuple[Element, ...]]:
        """What a parser made of those of the bytes that it ever saw."""

    def keep_elements(self, parsed: Mapping[Bytes, Sequence[Element]], parser: str) -> None:
        """Remembers what a parser made of these bytes, in one transaction."""

    def missing_vectors(self, keys: Sequence[str]) -> set[str]:
        """The keys without a vector."""

    def vectors(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Key → little-endian float32 bytes, of those that are there."""

    def keep_vectors(self, vectors: Mapping[str, bytes]) -> None:
        """Remembers vectors, all of them or none. Keeping one again changes nothing."""


class Leases(Protocol):
    """One writer at a time. Time passes on the catalog's side of this Protocol only."""

    def acquire(self, name: str, seconds: float) -> Lease:
        """The lease, with a token higher than any before. Raises AssistantBusy, naming the holder and until when.

        A holder on this machine whose process is gone holds nothing any more.
        """

    def renew(self, lease: Lease, seconds: float) -> None:
        """Extends the lease. Raises LeaseLost when somebody else took it; merely expired is no loss."""

    def release(self, lease: Lease) -> None:
        """Lets the next one in. Does nothing when the lease is somebody else's by now."""
