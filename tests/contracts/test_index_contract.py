"""What every VectorIndex promises. A new adapter joins by adding itself to `index`."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from infra.adapters.embedded_index import EmbeddedIndex
from tasks.core.changes import Turnover
from tasks.core.documents import Chunk, Hit, IndexedLife
from tasks.core.errors import LeaseLost
from tasks.core.ports import VectorIndex
from tasks.core.releases import RetrievalSettings

COLLECTION = "default-0123abcd"
OTHER = "default-other"
STAMP = "0123456789abcdef0123456789abcdef"
DIMENSIONS = 16
TOKEN = 5
EVERY_WORD = " ".join(f"word{n}" for n in range(60))
FUSIONS = ["rrf", "blend", "vector", "bm25"]


@pytest.fixture(params=["embedded", pytest.param("weaviate", marks=pytest.mark.weaviate)])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> VectorIndex:
    adapters = {
        "embedded": lambda: EmbeddedIndex(tmp_path / "index.sqlite"),
        "weaviate": lambda: request.getfixturevalue("weaviate_index"),
    }
    made: VectorIndex = adapters[request.param]()
    for collection in (COLLECTION, OTHER):
        made.claim(collection, STAMP, TOKEN)
    return made


def life(name: str, text: str = "", *, born: int = 1, died: int | None = None, page: int | None = None) -> IndexedLife:
    vector = np.random.default_rng(sum(map(ord, name))).standard_normal(DIMENSIONS)
    unit = (vector / np.linalg.norm(vector)).astype("<f4")
    chunk = Chunk(name, f"{name}.md", ("Pumps", "Größe"), text or f"about {name}", page)
    return IndexedLife(chunk, unit.tobytes(), born, died)


def vector_of(name: str) -> np.ndarray:
    return np.frombuffer(life(name).vector, dtype="<f4")


def corpus(count: int, seed: int = 1, born: int = 1) -> list[IndexedLife]:
    draw = random.Random(seed)
    vocabulary = [f"word{n}" for n in range(60)]
    texts = [" ".join(draw.choices(vocabulary, k=draw.randint(5, 60))) for _ in range(count)]
    return [life(f"c{seed}-{n:03}", text, born=born) for n, text in enumerate(texts)]


def dead(lives: Sequence[IndexedLife], died: int) -> list[IndexedLife]:
    return [replace(one, died=died) for one in lives]


def ask(index: VectorIndex, snapshot: int, text: str, vector: np.ndarray, **settings: object) -> list[Hit]:
    return index.search(COLLECTION, snapshot, text, vector, RetrievalSettings.model_validate({"k": 10} | settings))


def names(hits: Sequence[Hit]) -> list[str]:
    return [hit.chunk.id for hit in hits]


def test_births_are_confirmed_and_read_back_whole(index: VectorIndex) -> None:
    sent = life("a", "The seal leaks.\n\n- replace it", page=3)
    assert not index.put(COLLECTION, [sent, life("b")], TOKEN)
    assert index.chunk_ids(COLLECTION, 1) == {"a", "b"}
    (hit,) = ask(index, 1, "seal", vector_of("a"), k=1)
    assert hit.chunk == sent.chunk
    assert hit.similarity == pytest.approx(1.0, abs=1e-5)


def test_putting_again_changes_nothing(index: VectorIndex) -> None:
    for _ in range(2):
        assert not index.put(COLLECTION, [life("a"), life("b")], TOKEN)
    for _ in range(2):
        assert not index.put(COLLECTION, [life("a", died=2)], TOKEN)
    assert index.chunk_ids(COLLECTION, 1) == {"a", "b"}
    assert index.chunk_ids(COLLECTION, 2) == {"b"}


def test_a_store_that_lost_a_birth_gets_it_back_with_its_death(index: VectorIndex) -> None:
    assert not index.put(COLLECTION, [life("a", died=3)], TOKEN)
    assert [index.chunk_ids(COLLECTION, number) for number in (1, 2, 3)] == [{"a"}, {"a"}, set()]


def test_births_and_deaths_are_invisible_before_their_snapshot(index: VectorIndex) -> None:
    index.put(COLLECTION, [life("a"), life("b")], TOKEN)
    index.put(COLLECTION, [life("a", died=2), life("c", born=2)], TOKEN)
    assert set(names(ask(index, 1, "about", vector_of("a")))) == {"a", "b"}
    assert set(names(ask(index, 2, "about", vector_of("a")))) == {"b", "c"}
    assert ask(index, 0, "about", vector_of("a")) == []


def test_what_a_snapshot_changed_and_how_much_it_holds_can_be_read_back(index: VectorIndex) -> None:
    index.put(COLLECTION, [life("b"), life("a"), life("d")], TOKEN)
    index.put(COLLECTION, [life("a", died=2), life("d", died=2), life("c", born=2)], TOKEN)
    assert index.turnover(COLLECTION, 1) == Turnover(("a", "b", "d"), ())
    assert index.turnover(COLLECTION, 2) == Turnover(("c",), ("a", "d"))
    assert index.turnover(COLLECTION, 3) == Turnover((), ())
    assert [index.count(COLLECTION, number) for number in (0, 1, 2, 9)] == [0, 3, 2, 2]


def test_a_chunk_that_died_can_be_born_again(index: VectorIndex) -> None:
    index.put(COLLECTION, [life("a", died=2), life("b")], TOKEN)
    index.put(COLLECTION, [life("a", born=3)], TOKEN)
    assert [index.chunk_ids(COLLECTION, n) for n in (1, 2, 3)] == [{"a", "b"}, {"b"}, {"a", "b"}]
    assert names(ask(index, 3, "about", vector_of("a"))) == ["a", "b"]


def test_undo_leaves_neither_births_nor_deaths(index: VectorIndex) -> None:
    index.put(COLLECTION, corpus(20), TOKEN)
    before = ask(index, 1, "word1 word2", vector_of("x"))
    index.put(COLLECTION, [*dead(corpus(5), 2), *corpus(5, seed=2, born=2)], TOKEN)
    ask(index, 2, "word1", vector_of("x"))
    index.undo(COLLECTION, 2, TOKEN)
    assert index.chunk_ids(COLLECTION, 1) == index.chunk_ids(COLLECTION, 2) == {e.chunk.id for e in corpus(20)}
    assert ask(index, 1, "word1 word2", vector_of("x")) == before
    assert ask(index, 2, "word1 word2", vector_of("x")) == before


@pytest.mark.parametrize("fusion", FUSIONS)
def test_an_old_snapshot_answers_the_same_after_a_fifth_of_it_changed(index: VectorIndex, fusion: str) -> None:
    if not index.exact and fusion != "vector":
        pytest.skip("keyword statistics of this index count every stored chunk; a test of its own says what holds")
    index.put(COLLECTION, corpus(100), TOKEN)
    questions = [f"word{n} word{n + 7}" for n in range(20)]
    before = [ask(index, 1, q, vector_of(q), fusion=fusion) for q in questions]
    index.put(COLLECTION, [*dead(corpus(20), 2), *corpus(20, seed=2, born=2)], TOKEN)
    assert [ask(index, 1, q, vector_of(q), fusion=fusion) for q in questions] == before
    assert [ask(index, 2, q, vector_of(q), fusion=fusion) for q in questions] != before


def test_a_snapshot_reached_by_changes_scores_like_one_built_from_nothing(index: VectorIndex) -> None:
    if not index.exact:
        pytest.skip("keyword statistics of this index count every stored chunk, dead ones too")
    index.put(COLLECTION, corpus(30), TOKEN)
    index.put(COLLECTION, [*dead(corpus(10), 2), *corpus(10, seed=2, born=2)], TOKEN)
    index.put(OTHER, [*corpus(30)[10:], *corpus(10, seed=2)], TOKEN)
    settings = RetrievalSettings(k=10)
    for question in ("word1", "word2 word3", "nothing of it"):
        grown = index.search(COLLECTION, 2, question, vector_of(question), settings)
        assert grown == index.search(OTHER, 1, question, vector_of(question), settings)


def test_equal_scores_are_ordered_by_chunk_id(index: VectorIndex) -> None:
    same = life("x", "the same text")
    twins = [IndexedLife(Chunk(name, "d.md", (), "the same text"), same.vector, 1) for name in ("b", "d", "a", "c")]
    index.put(COLLECTION, twins, TOKEN)
    for fusion in FUSIONS:
        assert names(ask(index, 1, "same", vector_of("x"), fusion=fusion, k=3)) == ["a", "b", "c"]


def test_a_word_finds_what_the_vector_does_not(index: VectorIndex) -> None:
    index.put(COLLECTION, [*corpus(50), life("needle", "the Halden-300 valve")], TOKEN)
    assert names(ask(index, 1, "halden", vector_of("other"), fusion="bm25")) == ["needle"]
    assert "needle" in names(ask(index, 1, "Halden", vector_of("other"), k=2))


def test_the_heading_path_is_searched_too(index: VectorIndex) -> None:
    index.put(COLLECTION, [life("a")], TOKEN)
    assert names(ask(index, 1, "größe", vector_of("z"), fusion="bm25")) == ["a"]


@pytest.mark.parametrize("fusion", FUSIONS)
def test_only_chunks_that_the_settings_admit_are_found_and_they_still_fill_k(index: VectorIndex, fusion: str) -> None:
    under = [replace(one, chunk=replace(one.chunk, heading_path=("Seals",))) for one in corpus(4, seed=3)]
    index.put(COLLECTION, [*corpus(100), *under], TOKEN)
    wanted = {"fusion": fusion, "k": 3, "candidates": 5}
    few = ask(index, 1, EVERY_WORD, vector_of("x"), documents=("c1-00[1-4].md",), **wanted)
    assert len(few) == 3
    assert {hit.chunk.id for hit in few} <= {f"c1-00{n}" for n in range(1, 5)}
    seals = ask(index, 1, EVERY_WORD, vector_of("x"), headings=("Seal?",), **wanted)
    assert len(seals) == 3
    assert {hit.chunk.heading_path for hit in seals} == {("Seals",)}
    assert ask(index, 1, "word1", vector_of("x"), documents=("C1-*",), **wanted) == []


def test_an_empty_snapshot_has_no_hits(index: VectorIndex) -> None:
    assert ask(index, 1, "anything", vector_of("a")) == []
    assert index.chunk_ids(COLLECTION, 1) == set()
    assert index.count(COLLECTION, 1) == 0


def test_collections_do_not_mix(index: VectorIndex) -> None:
    index.put(COLLECTION, [life("a")], TOKEN)
    index.put(OTHER, [life("b")], TOKEN)
    assert index.chunk_ids(COLLECTION, 1) == {"a"}


def test_a_writer_that_was_overtaken_is_refused(index: VectorIndex) -> None:
    index.put(COLLECTION, [life("a")], TOKEN)
    index.claim(COLLECTION, STAMP, TOKEN + 1)
    late: list[Callable[[], object]] = [
        lambda: index.put(COLLECTION, [life("b", born=2)], TOKEN),
        lambda: index.put(COLLECTION, [life("a", died=2)], TOKEN),
        lambda: index.undo(COLLECTION, 1, TOKEN),
        lambda: index.claim(COLLECTION, STAMP, TOKEN),
        lambda: index.reclaim(COLLECTION, [2], TOKEN),
        lambda: index.drop(COLLECTION, TOKEN),
    ]
    for write in late:
        with pytest.raises(LeaseLost):
            write()
    assert index.chunk_ids(COLLECTION, 2) == {"a"}
    assert not index.put(COLLECTION, [life("b", born=2)], TOKEN + 1)


def test_a_fence_holds_for_its_collection_only(index: VectorIndex) -> None:
    index.claim(COLLECTION, STAMP, TOKEN + 1)
    assert not index.put(OTHER, [life("a")], TOKEN)


def test_claiming_what_is_ours_keeps_it(index: VectorIndex) -> None:
    index.put(COLLECTION, [life("a")], TOKEN)
    index.claim(COLLECTION, STAMP, TOKEN + 1)
    assert index.stamp(COLLECTION) == STAMP
    assert index.chunk_ids(COLLECTION, 1) == {"a"}


def test_a_collection_that_is_dropped_or_never_was_has_no_stamp(index: VectorIndex) -> None:
    assert index.stamp("default-never") is None
    index.put(COLLECTION, [life("a")], TOKEN)
    index.drop(COLLECTION, TOKEN)
    assert index.stamp(COLLECTION) is None
    index.drop(COLLECTION, TOKEN)
    index.claim(COLLECTION, STAMP, TOKEN)
    assert index.chunk_ids(COLLECTION, 1) == set()


def test_another_catalog_finds_nothing_of_ours_under_the_same_name(index: VectorIndex) -> None:
    index.put(COLLECTION, [life("a")], TOKEN)
    index.claim(COLLECTION, "f" * 32, TOKEN)
    assert index.stamp(COLLECTION) == "f" * 32
    assert index.chunk_ids(COLLECTION, 1) == set()


def test_reclaiming_deletes_what_no_kept_snapshot_reads(index: VectorIndex) -> None:
    newer = [life("d", born=4), life("e", born=3, died=5)]
    index.put(COLLECTION, [life("a", died=2), life("b", died=3), life("c"), *newer], TOKEN)
    before = ask(index, 2, "about", vector_of("b"))
    assert index.reclaim(COLLECTION, [2], TOKEN) == 1  # "a"; "b" is read by 2, the rest is newer or alive
    assert index.chunk_ids(COLLECTION, 2) == {"b", "c"}
    assert index.chunk_ids(COLLECTION, 4) == {"c", "d", "e"}
    if index.exact:
        assert ask(index, 2, "about", vector_of("b")) == before


def test_many_readers_and_a_writer_do_not_disturb_each_other(index: VectorIndex) -> None:
    index.put(COLLECTION, corpus(100), TOKEN)
    mine = {e.chunk.id for e in corpus(100)}
    expected = ask(index, 1, "word1 word2", vector_of("q"))
    wrong: list[object] = []

    def read() -> None:
        for _ in range(10):
            found = ask(index, 1, "word1 word2", vector_of("q"))
            if not set(names(found)) <= mine or (index.exact and found != expected):
                wrong.append(found)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for number in range(2, 8):
        index.put(COLLECTION, corpus(20, seed=number, born=number), TOKEN)
    for reader in readers:
        reader.join()
    assert wrong == []
