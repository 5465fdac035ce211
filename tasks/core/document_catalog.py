"""What the catalog remembers about documents, and the lease that keeps two runs from writing at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tasks.core.documents import Chunk, Element, Snapshot


@dataclass(frozen=True, slots=True)
class RegisteredSource:
    """A source of an assistant. The first is named `docs`: its documents' URIs carry no prefix."""

    name: str
    uri: str

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
    chunk_ids: tuple[str, ...]  # in reading order


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
    hints: tuple[Hint, ...]  # all of the scanned sources


@dataclass(frozen=True, slots=True)
class Publication:
    """Everything that becomes visible with a snapshot, all at once."""

    snapshot: Snapshot
    born: tuple[LiveDocument, ...]
    died: tuple[str, ...]  # document URIs
    chunks_born: tuple[tuple[Chunk, str], ...]  # with the key of the vector
    chunks_died: tuple[str, ...]
    accounts: Accounts


class DocumentCatalog(Protocol):
    """The truth about sources, documents and snapshots. Every write checks the lease in its own transaction."""

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

    def chunk_lives(self, assistant: str) -> tuple[ChunkLife, ...]:
        """Every life of every chunk, in the order of birth: what the index is rebuilt from."""

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


class DocumentCache(Protocol):
    """Work that is done once in its life. Forgetting any of it costs time, never correctness."""

    def elements(self, content_hash: str, parser: str, kind: str) -> tuple[Element, ...] | None:
        """What a parser made of these bytes, if it ever saw them."""

    def keep_elements(self, content_hash: str, parser: str, kind: str, elements: Sequence[Element]) -> None:
        """Remembers what a parser made of these bytes."""

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
