"""The one way passages are found, over a real catalog and index."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from retrieval_fakes import NumberOfWords, published

from tasks.core.documents import Chunk, Hit, IndexedLife
from tasks.core.errors import IntegrityFailure
from tasks.core.prompts import shown
from tasks.core.releases import RetrievalSettings, SnapshotRef
from tasks.retrieval import RetrievalBench, for_one_search, retrieve

PAGE = "\n\n".join(f"# Part {n}\n\nThis is what part {n} says about pumps." for n in range(1, 7))
PAGES = {
    "parts.md": PAGE,
    "seal.md": "# Seal\n\nThe seal of all pumps is waxed. " + "It is a very good seal indeed, of brass. " * 3,
    "hose.md": "# Hose\n\nThe hose of all pumps is long.",
}
QUESTION = "What does part 3 say about pumps?"


@pytest.fixture
def reranker() -> NumberOfWords:
    return NumberOfWords()


@pytest.fixture
def found_in(tmp_path: Path, reranker: NumberOfWords) -> tuple[RetrievalBench, SnapshotRef]:
    return published(tmp_path, PAGES, {"longest": reranker})


@pytest.fixture
def bench(found_in: tuple[RetrievalBench, SnapshotRef]) -> RetrievalBench:
    return found_in[0]


@pytest.fixture
def at(found_in: tuple[RetrievalBench, SnapshotRef]) -> SnapshotRef:
    return found_in[1]


def ask(bench: RetrievalBench, at: SnapshotRef, question: str = QUESTION, **settings: object) -> list[Hit]:
    (hits,) = retrieve(bench, at, [question], RetrievalSettings.model_validate(settings))
    return hits


def headings(hits: list[Hit]) -> list[str]:
    return [hit.chunk.heading_path[0] for hit in hits]


def test_the_best_come_first_and_no_more_than_are_wanted(bench: RetrievalBench, at: SnapshotRef) -> None:
    hits = ask(bench, at, k=3)
    assert headings(hits)[0] == "Part 3"
    assert len(hits) == 3
    assert ask(bench, at, k=0) == []


def test_many_questions_are_answered_in_order(bench: RetrievalBench, at: SnapshotRef) -> None:
    questions = [f"What does part {n} say?" for n in (5, 2, 4)]
    found = retrieve(bench, at, questions, RetrievalSettings(k=1))
    assert [headings(hits) for hits in found] == [["Part 5"], ["Part 2"], ["Part 4"]]
    assert retrieve(bench, at, [], RetrievalSettings()) == []


def test_a_chunk_the_catalog_does_not_know_at_that_snapshot_is_no_hit(bench: RetrievalBench, at: SnapshotRef) -> None:
    honest = ask(bench, at, k=20)
    text = "This is what part 3 says about pumps: a forgery."
    (vector,) = bench.embedder.embed([text])
    forged = IndexedLife(Chunk("0" * 32, "parts.md", ("Part 3",), text), vector.tobytes(), born=at.number)
    bench.index.put(at.collection, [forged], token=10**9)
    (direct,) = [
        hit
        for hit in bench.index.search(at.collection, at.number, QUESTION, vector, RetrievalSettings(k=20))
        if hit.chunk == forged.chunk
    ]
    assert direct.similarity > 0.9
    assert {hit.chunk.id for hit in ask(bench, at, k=20)} == {hit.chunk.id for hit in honest}


def test_a_chunk_of_another_assistant_is_no_hit(bench: RetrievalBench, at: SnapshotRef) -> None:
    assert ask(bench, at)
    assert ask(bench.of("another"), at) == []


def test_what_is_found_is_shown_as_the_catalog_has_it(bench: RetrievalBench, at: SnapshotRef) -> None:
    (hit,) = ask(bench, at, k=1)
    (vector,) = bench.embedder.embed([hit.chunk.text])
    changed = IndexedLife(replace(hit.chunk, text="Part 3 says something else."), vector.tobytes(), born=at.number)
    bench.index.undo(at.collection, at.number, token=10**9)
    bench.index.put(at.collection, [changed], token=10**9)
    assert [one.chunk for one in ask(bench, at, k=1)] == [hit.chunk]


# ── neighbours ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_neighbours_are_joined_in_reading_order_from_the_same_document(bench: RetrievalBench, at: SnapshotRef) -> None:
    (hit,) = ask(bench, at, k=1, neighbours=2)
    assert [chunk.heading_path[0] for chunk in hit.before] == ["Part 1", "Part 2"]
    assert [chunk.heading_path[0] for chunk in hit.after] == ["Part 4", "Part 5"]
    (first,) = ask(bench, at, "What does part 1 say about pumps?", k=1, neighbours=2)
    assert [len(first.before), len(first.after)] == [0, 2]


def test_without_neighbours_a_hit_is_its_chunk(bench: RetrievalBench, at: SnapshotRef) -> None:
    assert all(not hit.before and not hit.after for hit in ask(bench, at, k=8))


# ── reranking ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_reranker_decides_among_the_candidates_and_its_scores_are_carried(
    bench: RetrievalBench, at: SnapshotRef, reranker: NumberOfWords
) -> None:
    candidates = ask(bench, at, k=8)
    hits = ask(bench, at, k=3, reranker="longest", rerank_candidates=8)
    (read,) = reranker.read
    assert read == (QUESTION, [shown(hit.chunk) for hit in candidates])
    seal, *parts = hits
    assert (seal.chunk.document, seal.score) == ("seal.md", 30.0)
    ties = sorted(hit.chunk.id for hit in candidates if hit.chunk.document == "parts.md")
    assert [(hit.chunk.id, hit.score) for hit in parts] == [(ties[0], 10.0), (ties[1], 10.0)]


def test_the_reranker_reads_no_more_than_its_candidates(
    bench: RetrievalBench, at: SnapshotRef, reranker: NumberOfWords
) -> None:
    candidates = ask(bench, at, k=2)
    hits = ask(bench, at, k=1, reranker="longest", rerank_candidates=2)
    assert [len(texts) for _, texts in reranker.read] == [2]
    assert hits[0].chunk.id in {hit.chunk.id for hit in candidates}


def test_a_reranker_that_is_not_the_releases_is_refused(
    bench: RetrievalBench, at: SnapshotRef, reranker: NumberOfWords
) -> None:
    assert ask(bench, at, k=1, reranker="longest", reranker_fingerprint=reranker.fingerprint)
    reranker.fingerprint = "number-of-words-2"
    with pytest.raises(IntegrityFailure, match=r"longest is not the one .*number-of-words-2, then number-of-words-1"):
        ask(bench, at, k=1, reranker="longest", reranker_fingerprint="number-of-words-1")


def test_as_many_are_reranked_as_are_shown(bench: RetrievalBench, at: SnapshotRef, reranker: NumberOfWords) -> None:
    hits = ask(bench, at, k=5, reranker="longest", rerank_candidates=2)
    assert len(hits) == 5
    assert all(hit.score % 10 == 0 for hit in hits)


# ── filters ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("fusion", ["rrf", "blend", "vector", "bm25"])
def test_a_rare_document_still_fills_what_is_wanted(bench: RetrievalBench, at: SnapshotRef, fusion: str) -> None:
    wanted = {"k": 2, "candidates": 2, "fusion": fusion}
    assert {hit.chunk.document for hit in ask(bench, at, **wanted)} == {"parts.md"}
    narrowed = ask(bench, at, **wanted, documents=["s*.md", "hose.md"])
    assert {hit.chunk.document for hit in narrowed} == {"seal.md", "hose.md"}


def test_a_filter_changes_no_score_of_what_it_admits(bench: RetrievalBench, at: SnapshotRef) -> None:
    everything = {hit.chunk.id: hit.score for hit in ask(bench, at, k=8, fusion="bm25")}
    narrowed = ask(bench, at, k=8, fusion="bm25", headings=["Part [2-4]"])
    assert sorted(headings(narrowed)) == ["Part 2", "Part 3", "Part 4"]
    assert all(hit.score == everything[hit.chunk.id] for hit in narrowed)


def test_a_filter_that_admits_nothing_finds_nothing(bench: RetrievalBench, at: SnapshotRef) -> None:
    assert ask(bench, at, documents=["PARTS.md"]) == []


def test_a_single_search_replaces_only_what_it_asks_for() -> None:
    own = RetrievalSettings(k=4, documents=("a*",), headings=("H*",), rrf_k=10)
    assert for_one_search(own, None) == own
    asked = for_one_search(own, 7, documents=["b*"])
    assert asked == RetrievalSettings(k=7, documents=("b*",), headings=("H*",), rrf_k=10)
