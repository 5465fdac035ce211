"""Steps from the draft of a snapshot to the published one: embed, build, publish.

What they do after the scan grows with what changed, not with what there is: only changed documents are looked at.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice

from tasks.core.changes import Turnover
from tasks.core.document_catalog import Accounts, ChunkLife, Lease, Publication
from tasks.core.documents import Chunk, Snapshot
from tasks.core.fingerprints import vector_key
from tasks.core.ingestion import Built, Draft, Embedded, IngestReport, report_on
from tasks.core.ports import Progress
from tasks.documents import DocumentsBench, LeaseRenewal
from tasks.index_writes import put_confirmed, refill, restore, verify

EMBED_BATCH = 64  # texts between two commits: the most that a kill can cost


# ── vectors ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def embed(
    bench: DocumentsBench,
    draft: Draft,
    lease: Lease,
    progress: Progress | None = None,
    missing: Mapping[str, str] | None = None,
) -> Embedded:
    """Computes the vectors that no document, snapshot or assistant ever had computed. Commits batch by batch.

    missing: what `to_embed` found, where others have embedded some of it since; it counts as this run's all the same.
    """
    texts = to_embed(bench, draft) if missing is None else missing
    embed_texts(bench, texts, lease, progress)
    return _counted(bench, draft, texts)


def to_embed(bench: DocumentsBench, draft: Draft) -> dict[str, str]:
    """The texts of a draft that have no vector yet, by vector key."""
    texts = {vector_key(bench.embedder.fingerprint, c.embedded_text): c.embedded_text for c in _chunks(bench, draft)}
    missing = bench.cache.missing_vectors(sorted(texts))
    return {key: text for key, text in texts.items() if key in missing}


def embed_texts(
    bench: DocumentsBench, texts: Mapping[str, str], lease: Lease | None = None, progress: Progress | None = None
) -> int:
    """Embeds those that have no vector yet, and keeps the vectors; how many there were."""
    keep_lease = LeaseRenewal(bench, lease)
    missing = bench.cache.missing_vectors(sorted(texts))
    todo = iter(by_length({key: texts[key] for key in missing}))
    done = 0
    while batch := list(islice(todo, EMBED_BATCH)):
        keep_lease()
        vectors = bench.embedder.embed([texts[key] for key in batch])
        bench.cache.keep_vectors(
            {key: vector.astype("<f4").tobytes() for key, vector in zip(batch, vectors, strict=True)}
        )
        done += len(batch)
        if progress:
            progress("embed", done, len(missing))
    return done


def by_length(texts: Mapping[str, str]) -> list[str]:
    """The keys by length: a batch is as slow as its longest text. The key breaks ties, so batches repeat."""
    return sorted(texts, key=lambda key: (len(texts[key]), key))


def predict(bench: DocumentsBench, draft: Draft) -> IngestReport:
    """What embed, build and publish would do with this draft. Does not write."""
    embedded = _counted(bench, draft, to_embed(bench, draft))
    return _report(bench, embedded, _turnover(bench, draft), is_plan=True)


def _counted(bench: DocumentsBench, draft: Draft, texts: Mapping[str, str]) -> Embedded:
    tokens = bench.embedder.count_tokens([texts[key] for key in sorted(texts)])
    cost = tokens * bench.embedder.usd_per_million_tokens / 1_000_000
    return Embedded(draft, len(texts), tokens, bench.embedder.counts_tokens_exactly, cost)


def _chunks(bench: DocumentsBench, draft: Draft) -> Sequence[Chunk]:
    """The chunks that were read; under a new embedder also those of documents that stay without being read."""
    return list((_all_chunks(bench, draft) if draft.plan.re_embeds else draft.chunks_read).values())


def _all_chunks(bench: DocumentsBench, draft: Draft) -> Mapping[str, Chunk]:
    """Every chunk of the next snapshot, with its text."""
    before = draft.plan.before
    kept = bench.catalog.chunks(bench.assistant, before.number) if before else {}
    died = set(draft.died)
    staying = {chunk_id: chunk for chunk_id, chunk in kept.items() if chunk.document not in died}
    return {**staying, **draft.chunks_read}


def _turnover(bench: DocumentsBench, draft: Draft) -> Turnover:
    """The chunks to be born and to die, in the catalog. A new embedder's vectors are a new life for every chunk."""
    before = draft.plan.before
    if not draft.is_new:
        return Turnover((), ())
    if before is not None and draft.plan.re_embeds:
        held = bench.catalog.chunk_keys(bench.assistant, before.number)
        return Turnover(tuple(sorted(_all_chunks(bench, draft))), tuple(sorted(held)))
    was = bench.catalog.reading_order(bench.assistant, before.number, draft.died) if before else {}
    dying = {chunk_id for chunk_ids in was.values() for chunk_id in chunk_ids}
    living = {chunk_id for born in draft.born for chunk_id in born.chunk_ids}
    return Turnover(tuple(sorted(living - dying)), tuple(sorted(dying - living)))


# ── the index ────────────────────────────────────────────────────────────────────────────────────────────────────────


def build(bench: DocumentsBench, embedded: Embedded, lease: Lease, progress: Progress | None = None) -> Built:
    """Makes the index hold the next snapshot, unseen, and reads it back. Nothing changed: writes nothing.

    What an earlier run left unfinished is undone first, births and deaths; an index that lost chunks, or is another
    one, is refilled from the catalog. Raises IndexIncomplete when the store does not hold what it was given.
    """
    abandon(bench, lease)
    draft = embedded.draft
    restore(bench, draft.plan.before, lease, progress)
    if not draft.is_new:
        return Built(embedded, None)
    publication = _publication(bench, draft)
    snapshot = publication.snapshot
    bench.catalog.begin(snapshot, lease)
    if draft.plan.re_embeds:  # the embedder of long ago may be back: what its collection holds is what it held then
        refill(bench, snapshot.collection, lease, progress)
    else:
        bench.index.claim(snapshot.collection, bench.catalog.identity(), lease.token)
    # Chunks that nobody recorded can be there as well: from a catalog that was restored, or from a run of long ago.
    bench.index.undo(snapshot.collection, snapshot.number, lease.token)
    _write(bench, publication, lease, progress)
    return Built(embedded, publication)


def abandon(bench: DocumentsBench, lease: Lease) -> None:
    """Undoes what a run left unfinished, if one did: the index first, so that the record outlives what it is about."""
    leftover = bench.catalog.unfinished(bench.assistant)
    if leftover is not None:
        bench.index.claim(leftover.collection, bench.catalog.identity(), lease.token)
        bench.index.undo(leftover.collection, leftover.number, lease.token)
        bench.catalog.abandon(leftover, lease)


def _write(bench: DocumentsBench, publication: Publication, lease: Lease, progress: Progress | None) -> None:
    snapshot = publication.snapshot
    born = [ChunkLife(chunk, key, snapshot.number, None) for chunk, key in publication.chunks_born]
    dead = _deaths_in_index(bench, publication)
    put_confirmed(bench, snapshot.collection, "births", born, lease, progress)
    put_confirmed(bench, snapshot.collection, "deaths", dead, lease, progress)
    written = Turnover(tuple(sorted(c.id for c, _ in publication.chunks_born)), tuple(life.chunk.id for life in dead))
    verify(bench, snapshot, written)


def _deaths_in_index(bench: DocumentsBench, publication: Publication) -> list[ChunkLife]:
    """The lives that end with this snapshot, in its own collection: those of another embedder's end with it."""
    number = publication.snapshot.number
    before = bench.catalog.published(bench.assistant)
    if before is None or before.collection != publication.snapshot.collection:
        return []
    lives = bench.catalog.living(bench.assistant, before.number, publication.chunks_died)
    return [replace(life, died=number) for life in lives]


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
    change = _turnover(bench, draft)
    chunks = _all_chunks(bench, draft) if draft.plan.re_embeds else draft.chunks_read
    return Publication(
        snapshot=Snapshot(
            assistant=bench.assistant,
            number=draft.plan.number,
            state="building",
            manifest_hash=draft.manifest_hash,
            pipeline=draft.plan.pipeline,
            collection=draft.plan.collection,
            documents=draft.documents,
            chunks=draft.chunks,
        ),
        born=draft.born,
        died=draft.died,
        chunks_born=tuple(
            (chunks[chunk_id], vector_key(bench.embedder.fingerprint, chunks[chunk_id].embedded_text))
            for chunk_id in change.births
        ),
        chunks_died=change.deaths,
        accounts=_accounts(bench, draft),
    )


def _accounts(bench: DocumentsBench, draft: Draft) -> Accounts:
    scanned = draft.plan.scan
    return Accounts(bench.assistant, scanned.sources, draft.quarantined, scanned.hints, scanned.stale_hints)


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
