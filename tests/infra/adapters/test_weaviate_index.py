"""What the contract suite does not ask: how Weaviate is like the embedded index, and what other people can do to it."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pytest
from weaviate import WeaviateClient
from weaviate.classes.config import DataType, Property, Reconfigure

from infra.adapters.embedded_index import EmbeddedIndex
from infra.adapters.weaviate_connection import WeaviateServer
from infra.adapters.weaviate_index import WeaviateIndex
from infra.adapters.weaviate_objects import like, matchable
from infra.adapters.weaviate_schema import Ownership, mark, physical_name
from infra.deploy.weaviate_server import RunningServer
from tasks.core.changes import Turnover
from tasks.core.documents import Chunk, Hit, IndexedLife
from tasks.core.errors import IndexIncomplete, IndexUnavailable, IntegrityFailure, LeaseLost
from tasks.core.ports import VectorIndex
from tasks.core.releases import RetrievalSettings

C = "default-0123abcd"
STAMP = "0123456789abcdef0123456789abcdef"
TOKEN = 5


def unit(seed: str, dimensions: int = 16) -> np.ndarray:
    vector = np.random.default_rng(sum(map(ord, seed))).standard_normal(dimensions)
    return (vector / np.linalg.norm(vector)).astype("<f4")


def life(name: str, text: str = "", *, born: int = 1, died: int | None = None, document: str = "") -> IndexedLife:
    chunk = Chunk(name, document or f"{name}.md", ("Pumps",), text or f"about {name}")
    return IndexedLife(chunk, unit(name).tobytes(), born, died)


def corpus(count: int, seed: int = 1, born: int = 1) -> list[IndexedLife]:
    draw = random.Random(seed)
    vocabulary = [f"word{n}" for n in range(60)]
    texts = [" ".join(draw.choices(vocabulary, k=draw.randint(5, 60))) for _ in range(count)]
    return [life(f"c{seed}-{n:03}", text, born=born) for n, text in enumerate(texts)]


def tiny(count: int) -> list[IndexedLife]:
    vectors = np.random.default_rng(1).standard_normal((count, 4)).astype("<f4")
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [
        IndexedLife(Chunk(f"{n:05}", "d.md", (), "x"), vector.tobytes(), born=2) for n, vector in enumerate(vectors)
    ]


def ask(index: VectorIndex, snapshot: int, question: str, **settings: object) -> list[Hit]:
    asked = RetrievalSettings.model_validate({"k": 10} | settings)
    return index.search(C, snapshot, question, unit(question), asked)


def ids(hits: Sequence[Hit]) -> list[str]:
    return [hit.chunk.id for hit in hits]


@pytest.fixture
def index(weaviate_index: WeaviateIndex) -> WeaviateIndex:
    weaviate_index.claim(C, STAMP, TOKEN)
    return weaviate_index


@pytest.fixture
def name(index: WeaviateIndex, installation: str) -> str:
    """The collection's name on the server."""
    return physical_name(C, installation)


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("fusion", ["rrf", "blend", "vector", "bm25"])
def test_a_first_snapshot_answers_as_the_embedded_index_does(index: WeaviateIndex, tmp_path: Path, fusion: str) -> None:
    embedded = EmbeddedIndex(tmp_path / "index.sqlite")
    embedded.claim(C, STAMP, TOKEN)
    for one in (index, embedded):
        assert not one.put(C, corpus(150), TOKEN)
    for n in range(20):
        question = f"word{n} word{n + 7} word{(3 * n) % 60}"
        ours, theirs = ask(index, 1, question, fusion=fusion), ask(embedded, 1, question, fusion=fusion)
        assert ids(ours) == ids(theirs)
        assert [hit.similarity for hit in ours] == pytest.approx([hit.similarity for hit in theirs], abs=2e-6)
        assert [hit.score for hit in ours] == pytest.approx([hit.score for hit in theirs], abs=1e-4)


def test_the_server_counts_the_words_that_the_embedded_index_counts(index: WeaviateIndex) -> None:
    texts = {"bar": "runs at 2.5 bar", "parts": "runs at 2 or 5", "no": "don't run", "tokyo": "東京都の型"}
    index.put(C, [life(name, text) for name, text in texts.items()], TOKEN)
    for question, wanted in (("2.5", ["bar"]), ("DON'T", ["no"]), ("東京", ["tokyo"]), ("5", ["parts"])):
        assert ids(ask(index, 1, question, fusion="bm25")) == wanted


def test_after_a_fifth_changed_an_old_snapshot_still_finds_its_own_chunks_by_the_same_words(
    index: WeaviateIndex,
) -> None:
    index.put(C, corpus(80), TOKEN)
    questions = [f"word{n}" for n in range(10)]
    everything = {"k": 50}
    vectors = [ask(index, 1, q, fusion="vector") for q in questions]
    worded = [set(ids(ask(index, 1, q, fusion="bm25", **everything))) for q in questions]
    assert all(0 < len(found) < 50 for found in worded)
    index.put(C, [*(replace(one, died=2) for one in corpus(20)), *corpus(20, seed=2, born=2)], TOKEN)
    assert [ask(index, 1, q, fusion="vector") for q in questions] == vectors
    assert [set(ids(ask(index, 1, q, fusion="bm25", **everything))) for q in questions] == worded


def test_a_vector_comes_back_bit_by_bit_when_a_death_is_undone(index: WeaviateIndex) -> None:
    before = corpus(30)
    index.put(C, before, TOKEN)
    answers = [ask(index, 1, f"word{n}", fusion="vector") for n in range(10)]
    index.put(C, [replace(one, died=2) for one in before], TOKEN)
    assert index.count(C, 2) == 0
    index.undo(C, 2, TOKEN)
    assert index.count(C, 2) == 30
    assert [ask(index, 2, f"word{n}", fusion="vector") for n in range(10)] == answers


DOCUMENTS = [
    *("a.md", "A.md", "pumps/a.md", "pumps/b c.md", "pumps/[x].md", " trimmed.md ", "line\nbreak.md", "Größe/ß.md"),
    *("back\\slash.md", "pumps/deep/er.md", "100%.md", "(a|b).md", "a.mdx", "<a>.md"),
]
GLOBS = [
    *(
        "*",
        "*.md",
        "a.m?",
        "pumps/*",
        "pumps/[ab]*",
        "[!a]*",
        "[[]*",
        "pumps/[[]x].md",
        "[]a]*",
        "[a",
        "* *",
        " *",
        "*\n*",
    ),
    *("line?break.md", "Gr??e/*", "back\\*", "(a|b).*", "<*>*", "no-such", "A*", "pumps/?.md", "[A-Z]*", "*[!d]"),
]


def test_globs_mean_on_the_server_what_they_mean_here(index: WeaviateIndex) -> None:
    index.put(C, [life(f"{n:02}", "same words", document=uri) for n, uri in enumerate(DOCUMENTS)], TOKEN)
    for glob in GLOBS:
        found = ask(index, 1, "same", k=50, documents=(glob,))
        assert {hit.chunk.document for hit in found} == {uri for uri in DOCUMENTS if fnmatchcase(uri, glob)}, glob


def test_the_servers_pattern_never_matches_less_than_the_glob() -> None:
    for glob in GLOBS:
        pattern = like(glob).replace("[", "[[]")  # to Weaviate only * and ? are special
        assert all(fnmatchcase(matchable(uri), pattern) for uri in DOCUMENTS if fnmatchcase(uri, glob)), glob


def test_ties_at_the_end_of_a_list_are_all_considered(index: WeaviateIndex) -> None:
    vector = unit("x").tobytes()
    twins = [IndexedLife(Chunk(f"{n:03}", "d.md", (), "the same text"), vector, 1) for n in reversed(range(200))]
    index.put(C, twins, TOKEN)
    for fusion in ("rrf", "blend", "vector", "bm25"):
        assert ids(ask(index, 1, "same", fusion=fusion, k=3, candidates=5)) == ["000", "001", "002"]


# ── what other people can do ─────────────────────────────────────────────────────────────────────────────────────────


def test_an_emptied_server_is_noticed_and_refilled(
    index: WeaviateIndex, name: str, weaviate_client: WeaviateClient
) -> None:
    index.put(C, corpus(5), TOKEN)
    assert len(ask(index, 1, "word1 word2")) == 5
    weaviate_client.collections.delete(name)
    assert index.stamp(C) is None
    with pytest.raises(IndexUnavailable, match="emptied"):
        ask(index, 1, "word1")
    with pytest.raises(IndexUnavailable, match="refilled from the catalog"):
        index.put(C, corpus(5), TOKEN)
    index.claim(C, STAMP, TOKEN)
    assert not index.put(C, corpus(5), TOKEN)
    assert len(ask(index, 1, "word1 word2")) == 5


def test_two_installations_on_one_server_do_not_see_each_other(
    index: WeaviateIndex, weaviate_server: RunningServer
) -> None:
    index.put(C, [life("a")], TOKEN)
    other = WeaviateIndex(WeaviateServer(weaviate_server.url, weaviate_server.grpc_port), "f" * 32)
    try:
        assert other.stamp(C) is None
        other.claim(C, "f" * 32, 1)
        other.put(C, [life("b")], 1)
        other.undo(C, 0, 1)
        assert (index.stamp(C), index.chunk_ids(C, 1)) == (STAMP, {"a"})
        assert other.chunk_ids(C, 1) == set()
    finally:
        other.drop(C, 1)
        other.close()


CHANGES: list[tuple[Callable[[WeaviateClient, str], object], str]] = [
    (
        lambda client, name: client.collections.use(name).config.update(
            inverted_index_config=Reconfigure.inverted_index(bm25_k1=2.0)
        ),
        "bm25.k1 is 2, not 1.2",
    ),
    (
        lambda client, name: client.collections.use(name).config.add_property(
            Property(name="note", data_type=DataType.TEXT)
        ),
        r"property note is .*, not there",
    ),
]


@pytest.mark.parametrize(("change", "said"), CHANGES, ids=["bm25", "property"])
def test_a_changed_schema_is_refused_by_name(
    index: WeaviateIndex,
    name: str,
    weaviate_client: WeaviateClient,
    change: Callable[[WeaviateClient, str], object],
    said: str,
) -> None:
    change(weaviate_client, name)
    for use in (lambda: index.claim(C, STAMP, TOKEN), lambda: index.count(C, 1), lambda: ask(index, 1, "word")):
        with pytest.raises(IntegrityFailure, match=said):
            use()


def test_a_collection_that_only_has_our_name_is_left_alone(
    index: WeaviateIndex, name: str, weaviate_client: WeaviateClient
) -> None:
    weaviate_client.collections.use(name).config.update(description="my own notes")
    with pytest.raises(IntegrityFailure, match="my own notes"):
        index.claim(C, "f" * 32, TOKEN)
    assert weaviate_client.collections.exists(name)


def test_what_an_older_version_stored_is_made_anew(
    index: WeaviateIndex, name: str, weaviate_client: WeaviateClient
) -> None:
    index.put(C, [life("a")], TOKEN)
    mark(weaviate_client, name, Ownership(STAMP, TOKEN, layout="0.1"))
    assert index.stamp(C) is None
    index.claim(C, STAMP, TOKEN)
    assert (index.stamp(C), index.count(C, 1)) == (STAMP, 0)


# ── writes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_life_given_twice_is_one_and_two_deaths_of_it_cannot_both_be_confirmed(index: WeaviateIndex) -> None:
    assert index.put(C, [life("a"), life("b"), life("a")], TOKEN) == []
    assert index.put(C, [life("a", died=2), life("a", died=3)], TOKEN) == [life("a", died=2)]
    assert index.turnover(C, 3) == Turnover((), ("a",))


def test_objects_that_the_server_refuses_are_an_error_that_says_why(index: WeaviateIndex) -> None:
    assert index.put(C, [life("a")], TOKEN) == []
    other = replace(life("b"), vector=unit("b", dimensions=8).tobytes())
    with pytest.raises(IndexIncomplete, match=r"refused 1 of 2 chunks .*vector with length 8"):
        index.put(C, [other, life("c")], TOKEN)
    assert index.chunk_ids(C, 1) == {"a", "c"}


def test_an_older_run_whose_claim_was_written_last_is_refused_all_the_same(
    index: WeaviateIndex, name: str, weaviate_client: WeaviateClient
) -> None:
    index.claim(C, STAMP, TOKEN + 1)
    mark(weaviate_client, name, Ownership(STAMP, TOKEN))  # both read the fence before either wrote it
    assert index.put(C, [life("a")], TOKEN + 1) == []
    with pytest.raises(LeaseLost):
        index.put(C, [life("b")], TOKEN)


def test_more_than_a_server_returns_or_deletes_at_once_is_read_and_deleted_whole(index: WeaviateIndex) -> None:
    lives = tiny(10_350)
    assert index.put(C, lives, TOKEN) == []
    everything = {one.chunk.id for one in lives}
    assert index.count(C, 2) == 10_350
    assert index.chunk_ids(C, 2) == everything
    assert set(index.turnover(C, 2).births) == everything
    assert index.put(C, [replace(one, died=3) for one in lives[:300]], TOKEN) == []
    assert index.reclaim(C, [3], TOKEN) == 300
    assert index.count(C, 3) == 10_350 - 300
    index.undo(C, 2, TOKEN)
    assert index.count(C, 3) == 0


def test_readers_never_see_another_snapshot_while_one_is_built_undone_and_reclaimed(index: WeaviateIndex) -> None:
    index.put(C, corpus(60), TOKEN)
    mine = {one.chunk.id for one in corpus(60)}
    nearest = ask(index, 1, "word1", fusion="vector")
    wrong: list[object] = []
    done = threading.Event()
    asked = [0, 0, 0, 0]

    def read(worker: int) -> None:
        while asked[worker] < 250 or not done.is_set():
            asked[worker] += 1
            found = ask(index, 1, "word1", fusion=("vector", "rrf")[asked[worker] % 2])
            if not set(ids(found)) <= mine or len(found) != 10 or (asked[worker] % 2 == 0 and found != nearest):
                wrong.append(found)

    readers = [threading.Thread(target=read, args=(worker,)) for worker in range(4)]
    for reader in readers:
        reader.start()
    for _ in range(4):
        index.put(C, [*corpus(30, seed=2, born=2), *(replace(one, died=2) for one in corpus(30))], TOKEN)
        index.undo(C, 2, TOKEN)
    index.put(C, corpus(30, seed=3, born=2), TOKEN)
    index.put(C, [replace(one, died=3) for one in corpus(30, seed=3, born=2)], TOKEN)
    assert index.reclaim(C, [1, 3], TOKEN) == 30
    done.set()
    for reader in readers:
        reader.join()
    assert sum(asked) >= 1_000
    assert wrong == []


def test_names_on_the_server_are_legal_and_never_shared() -> None:
    logical = ["a-b", "a_b", "A-b", "a.b", "größe", "a b"]
    names = [physical_name(one, "0" * 32) for one in logical]
    assert len({name.lower() for name in names}) == len(logical)
    assert all(name.isascii() and name.replace("_", "").isalnum() for name in names)
