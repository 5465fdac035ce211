"""Every write to the vector index, confirmed object by object, and the refilling of an index that lost some.

A write counts when the store confirmed that very object; what the index holds is read back before it is published.
"""

from __future__ import annotations

from collections.abc import Sequence

from tasks.core.changes import Turnover
from tasks.core.document_catalog import ChunkLife, Lease
from tasks.core.documents import IndexedLife, Snapshot
from tasks.core.errors import IndexIncomplete, IntegrityFailure
from tasks.core.ports import Progress
from tasks.documents import DocumentsBench, LeaseRenewal

WRITE_BATCH = 500  # lives in one write
TRIES = 5  # of what a store did not confirm: a store that loses one in twenty keeps all of a batch in four


def put_confirmed(
    bench: DocumentsBench,
    collection: str,
    what: str,
    lives: Sequence[ChunkLife],
    lease: Lease,
    progress: Progress | None = None,
) -> None:
    """Writes lives in batches, again what was not confirmed. Raises IndexIncomplete and LeaseLost."""
    keep_lease = LeaseRenewal(bench, lease)
    for start in range(0, len(lives), WRITE_BATCH):
        keep_lease()
        batch = lives[start : start + WRITE_BATCH]
        _put(bench, collection, what, _with_vectors(bench, batch), lease)
        if progress:
            progress(f"write {what}", start + len(batch), len(lives))


def _with_vectors(bench: DocumentsBench, lives: Sequence[ChunkLife]) -> list[IndexedLife]:
    vectors = bench.cache.vectors(sorted({life.vector_key for life in lives}))
    lost = sorted({life.chunk.document for life in lives if life.vector_key not in vectors})
    if lost:
        raise IntegrityFailure(
            f"The catalog has no vector for chunks of {len(lost):,} documents, such as {lost[0]}. "
            "Its table of vectors is not as Ratchet left it; restore the catalog from a backup.",
            documents=lost,
        )
    return [IndexedLife(life.chunk, vectors[life.vector_key], life.born, life.died) for life in lives]


def _put(bench: DocumentsBench, collection: str, what: str, lives: Sequence[IndexedLife], lease: Lease) -> None:
    left = lives
    for _ in range(TRIES):
        left = bench.index.put(collection, left, lease.token)
        if not left:
            return
    raise IndexIncomplete(
        f"The index did not confirm {len(left):,} of {len(lives):,} {what} in {TRIES} tries, such as one of "
        f"{left[0].chunk.document}. Nothing was published; look at the index's own log, then run again.",
        confirmed=len(lives) - len(left),
        sent=len(lives),
    )


def verify(bench: DocumentsBench, snapshot: Snapshot, written: Turnover) -> None:
    """Reads back what was born and what died at a snapshot, and how many chunks it holds. Raises IndexIncomplete."""
    held = bench.index.turnover(snapshot.collection, snapshot.number)
    _check_same("births", set(held.births), set(written.births), snapshot)
    _check_same("deaths", set(held.deaths), set(written.deaths), snapshot)
    alive = bench.index.count(snapshot.collection, snapshot.number)
    if alive != snapshot.chunks:
        raise IndexIncomplete(
            f"The index holds {alive:,} chunks for snapshot {snapshot.number}, and should hold {snapshot.chunks:,}. "
            "Nothing was published. Run again: the index is then refilled from the catalog.",
            held=alive,
            wanted=snapshot.chunks,
        )


def _check_same(what: str, held: set[str], wanted: set[str], snapshot: Snapshot) -> None:
    if held != wanted:
        missing, surplus = sorted(wanted - held), sorted(held - wanted)
        raise IndexIncomplete(
            f"The index holds {len(held):,} {what} of snapshot {snapshot.number}, and should hold {len(wanted):,}: "
            f"{len(missing):,} are missing, {len(surplus):,} should not be there (such as {(missing + surplus)[0]}). "
            "Nothing was published. Run again; if it stays so, the index's storage loses writes.",
            missing=len(missing),
            surplus=len(surplus),
        )


def restore(bench: DocumentsBench, before: Snapshot | None, lease: Lease, progress: Progress | None = None) -> None:
    """Refills the newest snapshot's collection from the catalog when the index lost chunks or is another one.

    No text is embedded again. Cheap when nothing is wrong: a stamp and a count are read.
    """
    if before is None:
        return
    is_ours = bench.index.stamp(before.collection) == bench.catalog.identity()
    if not is_ours or bench.index.count(before.collection, before.number) != before.chunks:
        refill(bench, before.collection, lease, progress)
        promised = set(bench.catalog.chunk_keys(bench.assistant, before.number))
        _check_same("chunks", bench.index.chunk_ids(before.collection, before.number), promised, before)


def refill(bench: DocumentsBench, collection: str, lease: Lease, progress: Progress | None = None) -> None:
    """Makes a collection hold exactly the lives that the catalog knows of it, from the vectors that are cached."""
    lives = bench.catalog.chunk_lives(bench.assistant, collection)
    bench.index.claim(collection, bench.catalog.identity(), lease.token)
    bench.index.undo(collection, 0, lease.token)
    put_confirmed(bench, collection, "lives", lives, lease, progress)
