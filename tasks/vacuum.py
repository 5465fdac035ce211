"""Steps that delete what no retained release can read: snapshots, chunks, collections, vectors, artifacts.

The catalog goes first, in one transaction; whatever else goes is found again by the next run from what the catalog
says, so a kill between two steps leaves only rubbish that nobody reads.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from tasks.anchors import Anchors
from tasks.core.document_catalog import DocumentCatalog, Lease
from tasks.core.documents import Snapshot
from tasks.core.probes import DriftReport
from tasks.core.retention import Pinnable, Retention, retain
from tasks.documents import DocumentsBench, LeaseRenewal
from tasks.index_writes import refill
from tasks.releases import ReleaseCatalog
from tasks.snapshots import abandon


@dataclass(frozen=True, slots=True)
class Lives:
    """Rows of the catalog that no kept snapshot can read."""

    documents: int
    chunks: int


@dataclass(frozen=True, slots=True)
class UnusedVectors:
    """Cached vectors that no chunk in any snapshot of any assistant refers to."""

    count: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Leftover:
    """A folder, here or in the artifact store, that nothing refers to any more."""

    kind: Literal["artifact", "unfinished artifact", "copy", "training"]  # copy: of an artifact in a store elsewhere
    name: str
    size_bytes: int


class RetentionCatalog(Protocol):
    """The part of the catalog that forgets. Every write checks the lease in its own transaction."""

    def trainings(self, assistant: str) -> Mapping[str, int]:
        """Running training → the snapshot that was the newest when it began."""

    def collections(self, assistant: str) -> tuple[str, ...]:
        """Every collection that a snapshot, in whatever state, was ever written to; sorted."""

    def unreadable(self, assistant: str, keep: Sequence[int]) -> Lives:
        """Lives that none of the snapshots can read. Does not write."""

    def reclaim(self, assistant: str, keep: Sequence[int], lease: Lease) -> Lives:
        """In one transaction: marks the other published snapshots as reclaimed and deletes what only they could read.

        Raises LeaseLost, and AssistantBusy when a release became current, or the anchor, meanwhile whose snapshot is
        none of these.
        """

    def unused_vectors(self, assistant: str, keep: Sequence[int]) -> UnusedVectors:
        """Vectors that no chunk refers to, those of this assistant that `reclaim` leaves. Does not write."""

    def drop_unused_vectors(self, lease: Lease) -> UnusedVectors:
        """Deletes vectors that no chunk refers to. Raises AssistantBusy while another assistant ingests."""

    def named_artifacts(self, assistant: str = "", reclaim: Collection[int] = ()) -> frozenset[str]:
        """Digests that a release, a model, an evaluation or saved answers of any assistant name.

        A model names its adapter, its rows, its curves, and the adapter that it began with; a training at a vendor
        names its rows for as long as its job may have a model that is not registered. Adapters of the past
        (`past_adapters`) are left out, as if these snapshots of the assistant were reclaimed too.
        """

    def finished_trainings(self) -> frozenset[str]:
        """Ids of trainings that succeeded, and that no assistant has to do again."""


class Leftovers(Protocol):
    """Folders of the installation that may be left over."""

    def unreferenced(self, artifacts: frozenset[str], trainings: frozenset[str]) -> tuple[Leftover, ...]:
        """Artifacts other than these, and work folders of exactly these trainings; none younger than the grace."""

    def remove(self, leftover: Leftover) -> None:
        """Deletes one. One that is gone already is no error."""


@dataclass(frozen=True, slots=True)
class VacuumBench:
    """What vacuuming needs. keep_releases: how many releases a rollback can return to."""

    documents: DocumentsBench
    releases: ReleaseCatalog
    retention: RetentionCatalog
    leftovers: Leftovers
    anchors: Anchors
    keep_releases: int = 5

    @property
    def assistant(self) -> str:
        """Whose documents these are."""
        return self.documents.assistant


@dataclass(frozen=True, slots=True)
class VacuumReport:
    """What a run deleted, or, when `is_plan`, what it would.

    index_chunks: lives the index deleted; more than `lives.chunks` after a run that was killed, None in a plan.
    vectors: None unless unused vectors were to go. probes: None in a plan.
    """

    retention: Retention
    lives: Lives
    collections: tuple[str, ...]  # dropped
    leftovers: tuple[Leftover, ...]
    vectors: UnusedVectors | None
    index_chunks: int | None
    probes: DriftReport | None
    is_plan: bool

    @property
    def bytes_freed(self) -> int:
        """Of folders and cached vectors. Room inside the catalog and the index is used again, and not counted."""
        return sum(one.size_bytes for one in self.leftovers) + (self.vectors.size_bytes if self.vectors else 0)

    def as_json(self) -> dict[str, object]:
        """The object of `ratchet vacuum --json`."""
        return {
            "snapshots": [
                {"snapshot": f.snapshot, "kept": f.kept, "releases": list(f.releases), "reason": f.reason}
                for f in self.retention.fates
            ],
            "kept": list(self.retention.keep),
            "reclaimed": list(self.retention.reclaim),
            "documents": self.lives.documents,
            "chunks": self.lives.chunks,
            "index_chunks": self.index_chunks,
            "collections": list(self.collections),
            "vectors": self.vectors.count if self.vectors else 0,
            "leftovers": [{"kind": x.kind, "name": x.name, "size_bytes": x.size_bytes} for x in self.leftovers],
            "bytes_freed": self.bytes_freed,
            "probes": self.probes.as_json() if self.probes else None,
            "plan": self.is_plan,
        }


# ── what would go ────────────────────────────────────────────────────────────────────────────────────────────────────


def retained(bench: VacuumBench, keep_releases: int | None = None) -> Retention:
    """Which snapshots stay, and why. keep_releases: in the place of the setting. Does not write."""
    return retained_by(
        bench.assistant,
        bench.releases,
        bench.documents.catalog,
        bench.keep_releases if keep_releases is None else keep_releases,
        anchor=bench.anchors.anchor(bench.assistant),
        trainings=bench.retention.trainings(bench.assistant),
    )


def retained_by(
    assistant: str,
    releases: ReleaseCatalog,
    documents: DocumentCatalog,
    keep_releases: int,
    *,
    anchor: str | None,
    trainings: Mapping[str, int] | None = None,
) -> Retention:
    """The same, from the catalogs alone."""
    return retain(
        [snapshot.number for snapshot in documents.snapshots(assistant)],
        [Pinnable(row.id, row.manifest.snapshot.number) for row in releases.releases(assistant)],
        releases.standing(assistant).release,
        releases.history(assistant),
        keep_releases=keep_releases,
        trainings=trainings,
        anchor=anchor,
    )


def predict(bench: VacuumBench, retention: Retention, *, drop_unused_vectors: bool = False) -> VacuumReport:
    """What the steps below would delete. Does not write."""
    vectors = bench.retention.unused_vectors(bench.assistant, retention.keep) if drop_unused_vectors else None
    return VacuumReport(
        retention=retention,
        lives=bench.retention.unreadable(bench.assistant, retention.keep),
        collections=_unused_collections(bench, retention),
        leftovers=_leftovers(bench, retention.reclaim),
        vectors=vectors,
        index_chunks=None,
        probes=None,
        is_plan=True,
    )


def _unused_collections(bench: VacuumBench, retention: Retention) -> tuple[str, ...]:
    """Those of ours that the index still holds and no kept snapshot is in."""
    used = {snapshot.collection for snapshot in _kept(bench, retention)}
    identity = bench.documents.catalog.identity()
    known = (name for name in bench.retention.collections(bench.assistant) if name not in used)
    return tuple(name for name in known if bench.documents.index.stamp(name) == identity)


def _kept(bench: VacuumBench, retention: Retention) -> list[Snapshot]:
    keep = set(retention.keep)
    return [one for one in bench.documents.catalog.snapshots(bench.assistant) if one.number in keep]


def _leftovers(bench: VacuumBench, reclaim: Collection[int] = ()) -> tuple[Leftover, ...]:
    named = bench.retention.named_artifacts(bench.assistant, reclaim)
    return bench.leftovers.unreferenced(named, bench.retention.finished_trainings())


# ── deleting it, in this order, under the lease of the documents ─────────────────────────────────────────────────────


def reclaim_catalog(bench: VacuumBench, retention: Retention, lease: Lease) -> Lives:
    """What an ingest left unfinished is undone first. Then, at once: snapshots are reclaimed and their rows go."""
    abandon(bench.documents, lease)
    return bench.retention.reclaim(bench.assistant, retention.keep, lease)


def reclaim_index(bench: VacuumBench, retention: Retention, lease: Lease) -> int:
    """How many lives the index deleted. A collection that lost some that it should hold is refilled from the catalog.

    No reader of a kept snapshot notices: what it reads is not touched.
    """
    keep_lease = LeaseRenewal(bench.documents, lease)
    kept = _kept(bench, retention)
    gone = 0
    for collection in sorted({snapshot.collection for snapshot in kept}):
        keep_lease()
        here = [snapshot for snapshot in kept if snapshot.collection == collection]
        if _is_whole(bench, collection, here):
            gone += _reclaim(bench, collection, here, kept[-1], lease)
        else:
            refill(bench.documents, collection, lease)
    return gone


def _is_whole(bench: VacuumBench, collection: str, snapshots: Sequence[Snapshot]) -> bool:
    index = bench.documents.index
    ours = index.stamp(collection) == bench.documents.catalog.identity()
    return ours and all(index.count(collection, one.number) == one.chunks for one in snapshots)


def _reclaim(bench: VacuumBench, collection: str, here: Sequence[Snapshot], newest: Snapshot, lease: Lease) -> int:
    index = bench.documents.index
    index.claim(collection, bench.documents.catalog.identity(), lease.token)
    if newest.collection != collection:  # of an embedder of the past: whatever is newer than its last kept one is over
        index.undo(collection, here[-1].number + 1, lease.token)
    return index.reclaim(collection, [one.number for one in here], lease.token)


def drop_collections(bench: VacuumBench, retention: Retention, lease: Lease) -> tuple[str, ...]:
    """Drops the collections that no kept snapshot is in."""
    unused = _unused_collections(bench, retention)
    for collection in unused:
        bench.documents.index.drop(collection, lease.token)
    return unused


def drop_unused_vectors(bench: VacuumBench, lease: Lease) -> UnusedVectors:
    """Forgets cached vectors. A text that comes back is then embedded again."""
    return bench.retention.drop_unused_vectors(lease)


def remove_leftovers(bench: VacuumBench) -> tuple[Leftover, ...]:
    """Deletes the folders that the catalog proves to be left over; asks it again before each."""
    removed = []
    for leftover in _leftovers(bench):
        if leftover.kind not in ("artifact", "copy") or leftover.name not in bench.retention.named_artifacts():
            bench.leftovers.remove(leftover)
            removed.append(leftover)
    return tuple(removed)
