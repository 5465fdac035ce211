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

    No text is embedded again. Cheap when nothing is wrong: a stamp, a count, and what the last run wrote are read.
    """
    if before is not None and not _is_whole(bench, before):
        refill(bench, before.collection, lease, progress)
        promised = set(bench.catalog.chunk_keys(bench.assistant, before.number))
        _check_same("chunks", bench.index.chunk_ids(before.collection, before.number), promised, before)


def _is_whole(bench: DocumentsBench, newest: Snapshot) -> bool:
    """Whether the index is ours and has what the last run wrote: an older copy of it can hold as many chunks."""
    if bench.index.stamp(newest.collection) != bench.catalog.identity():
        return False
    if bench.index.count(newest.collection, newest.number) != newest.chunks:
        return False
    held = bench.index.turnover(newest.collection, newest.number)
    written = bench.catalog.turnover(bench.assistant, newest.number)
    return held.births == written.births and set(held.deaths) >= set(written.deaths)


def refill(bench: DocumentsBench, collection: str, lease: Lease, progress: Progress | None = None) -> None:
    """Makes a collection hold the lives that the catalog knows of it, from the vectors that are cached.

    What is there and right stays, so readers of published snapshots go on. Only an index that cannot be mended so is
    dropped and made anew.
    """
    bench.index.claim(collection, bench.catalog.identity(), lease.token)
    lives = bench.catalog.chunk_lives(bench.assistant, collection)
    if not _mended(bench, collection, lives, lease, progress):
        bench.index.drop(collection, lease.token)
        bench.index.claim(collection, bench.catalog.identity(), lease.token)
        put_confirmed(bench, collection, "lives", lives, lease, progress)


def _mended(
    bench: DocumentsBench, collection: str, lives: Sequence[ChunkLife], lease: Lease, progress: Progress | None
) -> bool:
    """Puts what is missing or lives too long; says whether every published snapshot then is what it should be."""
    numbers = sorted({life.born for life in lives} | {life.died for life in lives if life.died is not None})
    bench.index.undo(collection, numbers[-1] + 1 if numbers else 0, lease.token)
    held = {number: bench.index.turnover(collection, number) for number in numbers}
    born = {(chunk_id, number) for number, change in held.items() for chunk_id in change.births}
    died = {(chunk_id, number) for number, change in held.items() for chunk_id in change.deaths}
    wrong = [
        life
        for life in lives
        if (life.chunk.id, life.born) not in born or (life.died is not None and (life.chunk.id, life.died) not in died)
    ]
    try:
        put_confirmed(bench, collection, "lives", wrong, lease, progress)
    except IndexIncomplete:  # a store that is damaged inside can refuse this and take it when made anew
        return False
    return all(
        bench.index.chunk_ids(collection, one.number) == set(bench.catalog.chunk_keys(bench.assistant, one.number))
        for one in bench.catalog.snapshots(bench.assistant)
        if one.collection == collection
    )
