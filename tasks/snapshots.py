"""Steps from the draft of a snapshot to the published one: embed, build, publish."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import islice

from tasks.core.changes import Turnover, turnover
from tasks.core.document_catalog import Accounts, Lease, Publication
from tasks.core.documents import Chunk, Snapshot
from tasks.core.fingerprints import vector_key
from tasks.core.ingestion import Built, Draft, Embedded, IngestReport, report_on
from tasks.core.ports import Progress
from tasks.documents import DocumentsBench, LeaseRenewal
from tasks.index_writes import bury_confirmed, insert_confirmed, mend, verify

EMBED_BATCH = 64  # texts between two commits: the most that a kill can cost


# ── vectors ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def embed(bench: DocumentsBench, draft: Draft, lease: Lease, progress: Progress | None = None) -> Embedded:
    """Computes the vectors that no document, snapshot or assistant ever had computed. Commits batch by batch."""
    keep_lease = LeaseRenewal(bench, lease)
    missing = _texts_without_vector(bench, draft)
    # By length: a batch is as slow as its longest text. The key breaks ties, so a second run makes the same batches.
    todo = iter(sorted(missing, key=lambda key: (len(missing[key]), key)))
    done = 0
    while batch := list(islice(todo, EMBED_BATCH)):
        keep_lease()
        vectors = bench.embedder.embed([missing[key] for key in batch])
        bench.cache.keep_vectors(
            {key: vector.astype("<f4").tobytes() for key, vector in zip(batch, vectors, strict=True)}
        )
        done += len(batch)
        if progress:
            progress("embed", done, len(missing))
    return Embedded(draft, done)


def predict(bench: DocumentsBench, draft: Draft) -> IngestReport:
    """What embed, build and publish would do with this draft. Does not write."""
    embedded = Embedded(draft, len(_texts_without_vector(bench, draft)))
    change = _chunk_turnover(bench, draft)
    return _report(bench, embedded, change, is_plan=True)


def _texts_without_vector(bench: DocumentsBench, draft: Draft) -> dict[str, str]:
    """Vector key → text."""
    texts = {vector_key(bench.embedder.fingerprint, c.embedded_text): c.embedded_text for c in _to_embed(bench, draft)}
    missing = bench.cache.missing_vectors(sorted(texts))
    return {key: text for key, text in texts.items() if key in missing}


def _to_embed(bench: DocumentsBench, draft: Draft) -> Sequence[Chunk]:
    """The chunks that were read; under a new embedder also those of documents that stay without being read."""
    return list((_all_chunks(bench, draft) if draft.plan.re_embeds else draft.chunks_read).values())


def _all_chunks(bench: DocumentsBench, draft: Draft) -> Mapping[str, Chunk]:
    """Every chunk of the next snapshot, with its text."""
    before = draft.plan.before
    kept = bench.catalog.chunks(bench.assistant, before.number) if before else {}
    wanted = draft.chunk_ids
    return {chunk_id: chunk for chunk_id, chunk in {**kept, **draft.chunks_read}.items() if chunk_id in wanted}


def _chunk_turnover(bench: DocumentsBench, draft: Draft) -> Turnover:
    """Births and deaths as the catalog will record them."""
    if not draft.is_new:
        return Turnover((), ())
    before = draft.plan.before
    held = bench.catalog.chunk_keys(bench.assistant, before.number) if before else {}
    kept = {chunk_id: held[chunk_id] for chunk_id in draft.chunk_ids if chunk_id in held}
    embedded = {
        chunk.id: vector_key(bench.embedder.fingerprint, chunk.embedded_text) for chunk in _to_embed(bench, draft)
    }
    return turnover(held, kept | embedded)


# ── the index ────────────────────────────────────────────────────────────────────────────────────────────────────────


def build(bench: DocumentsBench, embedded: Embedded, lease: Lease, progress: Progress | None = None) -> Built:
    """Makes the index hold the next snapshot, unseen, and reads it back. Nothing changed: writes nothing.

    What an earlier run left unfinished is undone first, births and deaths. Raises IndexIncomplete when the store does
    not hold exactly the snapshot's chunks.
    """
    abandon(bench, lease)
    draft = embedded.draft
    mend(bench, draft.plan, lease)
    if not draft.is_new:
        return Built(embedded, None)
    publication = _publication(bench, draft)
    snapshot = publication.snapshot
    bench.catalog.begin(snapshot, lease)
    bench.index.fence(snapshot.collection, lease.token)
    # Chunks that nobody recorded can be there as well: from a catalog that was restored, or from a run of long ago.
    bench.index.undo(snapshot.collection, snapshot.number, lease.token)
    _write(bench, draft, snapshot, lease, progress)
    verify(bench, snapshot, draft.chunk_ids)
    return Built(embedded, publication)


def abandon(bench: DocumentsBench, lease: Lease) -> None:
    """Undoes what a run left unfinished, if one did: the index first, so that the record outlives what it is about."""
    leftover = bench.catalog.unfinished(bench.assistant)
    if leftover is not None:
        bench.index.fence(leftover.collection, lease.token)
        bench.index.undo(leftover.collection, leftover.number, lease.token)
        bench.catalog.abandon(leftover, lease)


def _write(bench: DocumentsBench, draft: Draft, snapshot: Snapshot, lease: Lease, progress: Progress | None) -> None:
    held = bench.index.chunk_ids(snapshot.collection, snapshot.number)
    change = turnover(dict.fromkeys(held, ""), dict.fromkeys(draft.chunk_ids, ""))
    chunks = draft.chunks_read
    if any(chunk_id not in chunks for chunk_id in change.births):
        chunks = _all_chunks(bench, draft)
    born = [chunks[chunk_id] for chunk_id in change.births]
    insert_confirmed(bench, snapshot.collection, snapshot.number, born, lease, progress)
    bury_confirmed(bench, snapshot.collection, snapshot.number, change.deaths, lease)


# ── the moment it becomes visible ────────────────────────────────────────────────────────────────────────────────────


def publish(bench: DocumentsBench, built: Built, lease: Lease) -> IngestReport:
    """Makes the snapshot visible, all at once, in one catalog transaction. Raises LeaseLost when it was overtaken.

    Nothing changed: no snapshot, and nothing is written unless the quarantine or a source's place is news.
    """
    draft = built.embedded.draft
    if built.publication is None:
        bench.catalog.settle(_accounts(bench, draft), lease)
        return _report(bench, built.embedded, Turnover((), ()), is_plan=False)
    bench.catalog.publish(built.publication, lease)
    born = tuple(chunk.id for chunk, _ in built.publication.chunks_born)
    return _report(bench, built.embedded, Turnover(born, built.publication.chunks_died), is_plan=False)


def _publication(bench: DocumentsBench, draft: Draft) -> Publication:
    change = _chunk_turnover(bench, draft)
    chunks = draft.chunks_read if not draft.plan.re_embeds else _all_chunks(bench, draft)
    was, becomes = set(draft.plan.live), set(draft.documents)
    return Publication(
        snapshot=Snapshot(
            assistant=bench.assistant,
            number=draft.plan.number,
            state="building",
            manifest_hash=draft.manifest_hash,
            pipeline=draft.plan.pipeline,
            collection=draft.plan.collection,
            documents=len(draft.documents),
            chunks=len(draft.chunk_ids),
        ),
        born=tuple(document for document in draft.documents if document not in was),
        died=tuple(document.uri for document in draft.plan.live if document not in becomes),
        chunks_born=tuple(
            (chunks[chunk_id], vector_key(bench.embedder.fingerprint, chunks[chunk_id].embedded_text))
            for chunk_id in change.births
        ),
        chunks_died=change.deaths,
        accounts=_accounts(bench, draft),
    )


def _accounts(bench: DocumentsBench, draft: Draft) -> Accounts:
    scanned = draft.plan.scan
    return Accounts(bench.assistant, scanned.sources, draft.quarantined, scanned.hints)


def _report(bench: DocumentsBench, embedded: Embedded, change: Turnover, *, is_plan: bool) -> IngestReport:
    scanned = {source.name for source in embedded.draft.plan.scan.sources}
    elsewhere = tuple(q for q in bench.catalog.quarantined(bench.assistant) if q.source not in scanned)
    return report_on(
        embedded,
        born=len(change.births),
        died=len(change.deaths),
        seconds=time.monotonic() - embedded.draft.plan.scan.started,
        is_plan=is_plan,
        elsewhere=elsewhere,
    )
