"""Every write to the vector index, confirmed object by object, and the repair of an index that lost some.

A write counts when the store confirmed that very object; what the index holds is read back before it is published.
"""

from __future__ import annotations

from collections.abc import Sequence

from tasks.core.document_catalog import ChunkLife, Lease
from tasks.core.documents import Chunk, IndexEntry, Snapshot
from tasks.core.errors import IndexIncomplete, IntegrityFailure
from tasks.core.fingerprints import vector_key
from tasks.core.ingestion import Plan
from tasks.core.ports import Progress
from tasks.documents import DocumentsBench, LeaseRenewal

WRITE_BATCH = 500  # chunks in one write


def insert_confirmed(
    bench: DocumentsBench,
    collection: str,
    snapshot: int,
    born: Sequence[Chunk],
    lease: Lease,
    progress: Progress | None = None,
) -> None:
    """Writes births in batches. Raises IndexIncomplete unless the store confirms each, LeaseLost when overtaken."""
    keep_lease = LeaseRenewal(bench, lease)
    for start in range(0, len(born), WRITE_BATCH):
        keep_lease()
        batch = born[start : start + WRITE_BATCH]
        confirmed = bench.index.insert(collection, snapshot, _with_vectors(bench, batch), lease.token)
        _check_confirmed("births", confirmed, len(batch))
        if progress:
            progress("write", start + len(batch), len(born))


def bury_confirmed(bench: DocumentsBench, collection: str, snapshot: int, dead: Sequence[str], lease: Lease) -> None:
    """Marks deaths in batches, as carefully as births."""
    keep_lease = LeaseRenewal(bench, lease)
    for start in range(0, len(dead), WRITE_BATCH):
        keep_lease()
        batch = dead[start : start + WRITE_BATCH]
        _check_confirmed("deaths", bench.index.bury(collection, snapshot, batch, lease.token), len(batch))


def _with_vectors(bench: DocumentsBench, chunks: Sequence[Chunk]) -> list[IndexEntry]:
    keys = [vector_key(bench.embedder.fingerprint, chunk.embedded_text) for chunk in chunks]
    vectors = bench.cache.vectors(sorted(set(keys)))
    lost = [chunk.document for chunk, key in zip(chunks, keys, strict=True) if key not in vectors]
    if lost:
        raise IntegrityFailure(
            f"The catalog has no vector for {len(lost):,} chunks, such as one of {lost[0]}. "
            "Its table of vectors is not as Ratchet left it; restore the catalog from a backup.",
            documents=sorted(set(lost)),
        )
    return [IndexEntry(chunk, vectors[key]) for chunk, key in zip(chunks, keys, strict=True)]


def _check_confirmed(what: str, confirmed: int, sent: int) -> None:
    if confirmed != sent:
        raise IndexIncomplete(
            f"The index confirmed {confirmed:,} of {sent:,} {what}. Nothing was published; run again.",
            confirmed=confirmed,
            sent=sent,
        )


def mend(bench: DocumentsBench, plan: Plan, lease: Lease) -> None:
    """Gives an index that lost what is published every chunk back, with its lives, from the catalog and the cache.

    Writes nothing to an index that is whole. A collection of another embedder is left to the rebuild.
    """
    before = plan.before
    if before is None or before.collection != plan.collection:
        return
    promised = bench.catalog.chunk_keys(bench.assistant, before.number)
    if bench.index.chunk_ids(before.collection, before.number) == set(promised):
        return
    bench.index.fence(before.collection, lease.token)
    bench.index.undo(before.collection, 0, lease.token)
    lives = [life for life in bench.catalog.chunk_lives(bench.assistant) if _is_of(bench, life)]
    for number in sorted({life.born for life in lives} | {life.died for life in lives if life.died is not None}):
        dead = [life.chunk.id for life in lives if life.died == number]
        born = [life.chunk for life in lives if life.born == number]
        bury_confirmed(bench, before.collection, number, dead, lease)
        insert_confirmed(bench, before.collection, number, born, lease)
    verify(bench, before, frozenset(promised))


def _is_of(bench: DocumentsBench, life: ChunkLife) -> bool:
    """Whether this life was lived in the collection of the present embedder."""
    return life.vector_key == vector_key(bench.embedder.fingerprint, life.chunk.embedded_text)


def verify(bench: DocumentsBench, snapshot: Snapshot, wanted: frozenset[str]) -> None:
    """Reads back which chunks the index holds. Raises IndexIncomplete unless they are exactly `wanted`."""
    held = bench.index.chunk_ids(snapshot.collection, snapshot.number)
    if held != wanted:
        missing, surplus = sorted(wanted - held), sorted(held - wanted)
        raise IndexIncomplete(
            f"The index holds {len(held):,} chunks for snapshot {snapshot.number}, and should hold {len(wanted):,}: "
            f"{len(missing):,} are missing, {len(surplus):,} should not be there (such as {(missing + surplus)[0]}). "
            "Nothing was published. Run again; if it stays so, the index's storage loses writes.",
            missing=len(missing),
            surplus=len(surplus),
        )
