"""What every VectorIndex promises. A new adapter joins by adding itself to `index`."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from infra.adapters.embedded_index import EmbeddedIndex
from tasks.core.documents import Chunk, Hit, IndexEntry
from tasks.core.errors import LeaseLost
from tasks.core.ports import VectorIndex
from tasks.core.releases import RetrievalSettings

COLLECTION = "default-0123abcd"
DIMENSIONS = 16
TOKEN = 5


@pytest.fixture(params=["embedded"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> VectorIndex:
    adapters = {"embedded": lambda: EmbeddedIndex(tmp_path / "index.sqlite")}
    return adapters[request.param]()


def entry(name: str, text: str = "", page: int | None = None) -> IndexEntry:
    vector = np.random.default_rng(sum(map(ord, name))).standard_normal(DIMENSIONS)
    unit = (vector / np.linalg.norm(vector)).astype("<f4")
    return IndexEntry(Chunk(name, f"{name}.md", ("Pumps", "Größe"), text or f"about {name}", page), unit.tobytes())


def vector_of(name: str) -> np.ndarray:
    return np.frombuffer(entry(name).vector, dtype="<f4")


def corpus(count: int, seed: int = 1) -> list[IndexEntry]:
    draw = random.Random(seed)
    vocabulary = [f"word{n}" for n in range(60)]
    return [entry(f"c{seed}-{n:03}", " ".join(draw.choices(vocabulary, k=draw.randint(5, 60)))) for n in range(count)]


def ask(index: VectorIndex, snapshot: int, text: str, vector: np.ndarray, **settings: object) -> list[Hit]:
    return index.search(COLLECTION, snapshot, text, vector, RetrievalSettings.model_validate({"k": 10} | settings))


def names(hits: Sequence[Hit]) -> list[str]:
    return [hit.chunk.id for hit in hits]


def test_an_insert_is_confirmed_and_read_back_whole(index: VectorIndex) -> None:
    sent = entry("a", "The seal leaks.\n\n- replace it", page=3)
    assert index.insert(COLLECTION, 1, [sent, entry("b")], TOKEN) == 2
    assert index.chunk_ids(COLLECTION, 1) == {"a", "b"}
    (hit,) = ask(index, 1, "seal", vector_of("a"), k=1)
    assert hit.chunk == sent.chunk
    assert hit.similarity == pytest.approx(1.0, abs=1e-5)


def test_inserting_and_burying_again_changes_nothing(index: VectorIndex) -> None:
    for _ in range(2):
        assert index.insert(COLLECTION, 1, [entry("a"), entry("b")], TOKEN) == 2
    for _ in range(2):
        assert index.bury(COLLECTION, 2, ["a"], TOKEN) == 1
    assert index.chunk_ids(COLLECTION, 1) == {"a", "b"}
    assert index.chunk_ids(COLLECTION, 2) == {"b"}


def test_burying_what_is_not_there_is_not_confirmed(index: VectorIndex) -> None:
    index.insert(COLLECTION, 1, [entry("a")], TOKEN)
    assert index.bury(COLLECTION, 2, ["a", "never-there"], TOKEN) == 1


def test_births_and_deaths_are_invisible_before_their_snapshot(index: VectorIndex) -> None:
    index.insert(COLLECTION, 1, [entry("a"), entry("b")], TOKEN)
    index.bury(COLLECTION, 2, ["a"], TOKEN)
    index.insert(COLLECTION, 2, [entry("c")], TOKEN)
    assert set(names(ask(index, 1, "about", vector_of("a")))) == {"a", "b"}
    assert set(names(ask(index, 2, "about", vector_of("a")))) == {"b", "c"}
    assert ask(index, 0, "about", vector_of("a")) == []


def test_a_chunk_that_died_can_be_born_again(index: VectorIndex) -> None:
    index.insert(COLLECTION, 1, [entry("a"), entry("b")], TOKEN)
    index.bury(COLLECTION, 2, ["a"], TOKEN)
    index.insert(COLLECTION, 3, [entry("a")], TOKEN)
    assert [index.chunk_ids(COLLECTION, n) for n in (1, 2, 3)] == [{"a", "b"}, {"b"}, {"a", "b"}]


def test_undo_leaves_neither_births_nor_deaths(index: VectorIndex) -> None:
    index.insert(COLLECTION, 1, corpus(20), TOKEN)
    before = ask(index, 1, "word1 word2", vector_of("x"))
    index.bury(COLLECTION, 2, [e.chunk.id for e in corpus(5)], TOKEN)
    index.insert(COLLECTION, 2, corpus(5, seed=2), TOKEN)
    ask(index, 2, "word1", vector_of("x"))
    index.undo(COLLECTION, 2, TOKEN)
    assert index.chunk_ids(COLLECTION, 1) == index.chunk_ids(COLLECTION, 2) == {e.chunk.id for e in corpus(20)}
    assert ask(index, 1, "word1 word2", vector_of("x")) == before
    assert ask(index, 2, "word1 word2", vector_of("x")) == before


@pytest.mark.parametrize("fusion", ["rrf", "vector", "bm25"])
def test_an_old_snapshot_answers_the_same_after_a_fifth_of_it_changed(index: VectorIndex, fusion: str) -> None:
    index.insert(COLLECTION, 1, corpus(100), TOKEN)
    questions = [f"word{n} word{n + 7}" for n in range(20)]
    before = [ask(index, 1, q, vector_of(q), fusion=fusion) for q in questions]
    index.bury(COLLECTION, 2, [e.chunk.id for e in corpus(20)], TOKEN)
    index.insert(COLLECTION, 2, corpus(20, seed=2), TOKEN)
    assert [ask(index, 1, q, vector_of(q), fusion=fusion) for q in questions] == before
    assert [ask(index, 2, q, vector_of(q), fusion=fusion) for q in questions] != before


def test_a_snapshot_reached_by_changes_scores_like_one_built_from_nothing(index: VectorIndex) -> None:
    index.insert(COLLECTION, 1, corpus(30), TOKEN)
    index.bury(COLLECTION, 2, [e.chunk.id for e in corpus(10)], TOKEN)
    index.insert(COLLECTION, 2, corpus(10, seed=2), TOKEN)
    index.insert("other-collection", 1, [*corpus(30)[10:], *corpus(10, seed=2)], TOKEN)
    settings = RetrievalSettings(k=10)
    for question in ("word1", "word2 word3", "nothing of it"):
        grown = index.search(COLLECTION, 2, question, vector_of(question), settings)
        assert grown == index.search("other-collection", 1, question, vector_of(question), settings)


def test_equal_scores_are_ordered_by_chunk_id(index: VectorIndex) -> None:
    same = entry("x", "the same text")
    twins = [IndexEntry(Chunk(name, "d.md", (), "the same text"), same.vector) for name in ("b", "d", "a", "c")]
    index.insert(COLLECTION, 1, twins, TOKEN)
    for fusion in ("rrf", "vector", "bm25"):
        assert names(ask(index, 1, "same", vector_of("x"), fusion=fusion, k=3)) == ["a", "b", "c"]


def test_a_word_finds_what_the_vector_does_not(index: VectorIndex) -> None:
    index.insert(COLLECTION, 1, [*corpus(50), entry("needle", "the Halden-300 valve")], TOKEN)
    assert names(ask(index, 1, "halden", vector_of("other"), fusion="bm25")) == ["needle"]
    assert "needle" in names(ask(index, 1, "Halden", vector_of("other"), k=2))


def test_the_heading_path_is_searched_too(index: VectorIndex) -> None:
    index.insert(COLLECTION, 1, [entry("a")], TOKEN)
    assert names(ask(index, 1, "größe", vector_of("z"), fusion="bm25")) == ["a"]


def test_an_empty_snapshot_has_no_hits(index: VectorIndex) -> None:
    assert ask(index, 1, "anything", vector_of("a")) == []
    assert index.chunk_ids(COLLECTION, 1) == set()


def test_collections_do_not_mix(index: VectorIndex) -> None:
    index.insert(COLLECTION, 1, [entry("a")], TOKEN)
    index.insert("default-other", 1, [entry("b")], TOKEN)
    assert index.chunk_ids(COLLECTION, 1) == {"a"}


def test_a_writer_that_was_overtaken_is_refused(index: VectorIndex) -> None:
    index.insert(COLLECTION, 1, [entry("a")], TOKEN)
    index.fence(COLLECTION, TOKEN + 1)
    with pytest.raises(LeaseLost):
        index.insert(COLLECTION, 2, [entry("b")], TOKEN)
    with pytest.raises(LeaseLost):
        index.bury(COLLECTION, 2, ["a"], TOKEN)
    with pytest.raises(LeaseLost):
        index.undo(COLLECTION, 1, TOKEN)
    with pytest.raises(LeaseLost):
        index.fence(COLLECTION, TOKEN)
    with pytest.raises(LeaseLost):
        index.reclaim(COLLECTION, [2], TOKEN)
    assert index.chunk_ids(COLLECTION, 2) == {"a"}
    assert index.insert(COLLECTION, 2, [entry("b")], TOKEN + 1) == 1


def test_a_fence_holds_for_its_collection_only(index: VectorIndex) -> None:
    index.fence(COLLECTION, TOKEN + 1)
    assert index.insert("default-other", 1, [entry("a")], TOKEN) == 1


def test_reclaiming_deletes_what_no_kept_snapshot_reads(index: VectorIndex) -> None:
    index.insert(COLLECTION, 1, [entry("a"), entry("b"), entry("c")], TOKEN)
    index.bury(COLLECTION, 2, ["a"], TOKEN)
    index.bury(COLLECTION, 3, ["b"], TOKEN)
    index.insert(COLLECTION, 4, [entry("d")], TOKEN)
    before = ask(index, 2, "about", vector_of("b"))
    assert index.reclaim(COLLECTION, [2], TOKEN) == 1  # "a"; "b" is read by 2, the rest is newer or alive
    assert index.chunk_ids(COLLECTION, 2) == {"b", "c"}
    assert index.chunk_ids(COLLECTION, 4) == {"c", "d"}
    assert ask(index, 2, "about", vector_of("b")) == before


def test_many_readers_and_a_writer_do_not_disturb_each_other(index: VectorIndex) -> None:
    index.insert(COLLECTION, 1, corpus(100), TOKEN)
    expected = ask(index, 1, "word1 word2", vector_of("q"))
    wrong: list[object] = []

    def read() -> None:
        for _ in range(10):
            found = ask(index, 1, "word1 word2", vector_of("q"))
            if found != expected:
                wrong.append(found)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for number in range(2, 8):
        index.insert(COLLECTION, number, corpus(20, seed=number), TOKEN)
    for reader in readers:
        reader.join()
    assert wrong == []
