"""The one way passages are found: for answering, training, candidates, `ratchet search` and the service."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from tasks.core.document_catalog import DocumentCatalog
from tasks.core.documents import Chunk, Hit
from tasks.core.errors import IntegrityFailure
from tasks.core.passages import Surroundings, around, joined
from tasks.core.ports import Embedder, Reranker, VectorIndex
from tasks.core.prompts import shown
from tasks.core.releases import RetrievalSettings, SnapshotRef


@dataclass(frozen=True, slots=True)
class RetrievalBench:
    """What finding passages needs. open_reranker: from the name in a release's settings."""

    assistant: str
    index: VectorIndex
    catalog: DocumentCatalog
    embedder: Embedder
    open_reranker: Callable[[str], Reranker]

    def of(self, assistant: str) -> RetrievalBench:
        """The same for another assistant of the same catalog."""
        return replace(self, assistant=assistant)


def retrieve(
    bench: RetrievalBench, at: SnapshotRef, questions: Sequence[str], settings: RetrievalSettings
) -> list[list[Hit]]:
    """Per question the best `settings.k` chunks of a snapshot, best first, with their neighbours.

    The index is derived, the catalog is the truth: a chunk that the catalog does not know at that snapshot is no hit,
    and what is known is shown as the catalog has it. Raises IntegrityFailure when the reranker is not the release's,
    and what the index, the embedder and the reranker raise.
    """
    if not questions or settings.k == 0:
        return [[] for _ in questions]
    vectors = bench.embedder.embed_queries(questions)
    found = [
        bench.index.search(at.collection, at.number, question, vector, settings)
        for question, vector in zip(questions, vectors, strict=True)
    ]
    hits = _known(bench, at, found)
    if settings.reranker is not None:
        reranker = _opened(bench, settings.reranker, settings.reranker_fingerprint)
        hits = [_reranked(reranker, question, one) for question, one in zip(questions, hits, strict=True)]
    best = [one[: settings.k] for one in hits]
    where = surroundings(bench, at, (hit.chunk for one in best for hit in one), settings.neighbours)
    return [joined(one, where) for one in best]


def for_one_search(
    settings: RetrievalSettings, k: int | None, documents: Sequence[str] = (), headings: Sequence[str] = ()
) -> RetrievalSettings:
    """A release's settings with what a single search asks for in the place of its own."""
    asked = {"k": k, "documents": tuple(documents), "headings": tuple(headings)}
    return settings.model_copy(update={name: value for name, value in asked.items() if value})


def surroundings(bench: RetrievalBench, at: SnapshotRef, chunks: Iterable[Chunk], reach: int) -> Surroundings:
    """The neighbours of these chunks at a snapshot, up to `reach` on each side."""
    if reach == 0:
        return Surroundings()
    middle = list(chunks)
    order = bench.catalog.reading_order(bench.assistant, at.number, sorted({chunk.document for chunk in middle}))
    near = {one for chunk in middle for side in around(chunk, order, reach) for one in side}
    lives = bench.catalog.living(bench.assistant, at.number, sorted(near))
    return Surroundings(reach, order, {life.chunk.id: life.chunk for life in lives})


def _known(bench: RetrievalBench, at: SnapshotRef, found: Sequence[Sequence[Hit]]) -> list[list[Hit]]:
    ids = sorted({hit.chunk.id for hits in found for hit in hits})
    chunks = {life.chunk.id: life.chunk for life in bench.catalog.living(bench.assistant, at.number, ids)}
    return [[replace(hit, chunk=chunks[hit.chunk.id]) for hit in hits if hit.chunk.id in chunks] for hits in found]


def _opened(bench: RetrievalBench, name: str, fingerprint: str | None) -> Reranker:
    reranker = bench.open_reranker(name)
    if fingerprint not in (None, reranker.fingerprint):
        raise IntegrityFailure(
            f"The reranker {name} is not the one this release was made with ({reranker.fingerprint}, then "
            f"{fingerprint}). Bring back its files, or let a new release be judged with the present ones.",
            reranker=name,
        )
    return reranker


def _reranked(reranker: Reranker, question: str, hits: Sequence[Hit]) -> list[Hit]:
    """By the reranker's score, which the hits carry from here on; ties by chunk id."""
    scores = reranker.score(question, [shown(hit.chunk) for hit in hits])
    read = [replace(hit, score=float(score)) for hit, score in zip(hits, scores, strict=True)]
    return sorted(read, key=lambda hit: (-hit.score, hit.chunk.id))
