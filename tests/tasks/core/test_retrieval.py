"""Words, and ranking by hand-made arithmetic."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from tasks.core.releases import RetrievalSettings
from tasks.core.retrieval import best, blend, bm25_weights, candidates_wanted, fuse, ranked, terms, words


def test_fusion_adds_one_over_sixty_plus_rank() -> None:
    scores = fuse([[7, 3], [3, 9]], k=60)
    assert scores == {7: 1 / 61, 3: 1 / 62 + 1 / 61, 9: 1 / 62}


def test_among_equal_scores_the_smaller_row_comes_first() -> None:
    assert best(np.array([0.5, 0.9, 0.5, 0.9, 0.5]), 4) == [1, 3, 0, 2]


@pytest.mark.parametrize("count", [0, 1, 3, 10])
def test_best_gives_no_more_than_there_is(count: int) -> None:
    assert best(np.array([0.1, 0.3, 0.2]), count) == [1, 2, 0][:count]
    assert best(np.array([]), count) == []


def test_bm25_of_an_average_chunk_is_idf_times_saturated_frequency() -> None:
    weights = bm25_weights(
        np.array([1.0, 2.0]), np.array([100.0, 100.0]), containing=2, documents=10, average_length=100
    )
    idf = log(1 + (10 - 2 + 0.5) / (2 + 0.5))
    assert weights == pytest.approx([idf * 1 * 2.2 / (1 + 1.2), idf * 2 * 2.2 / (2 + 1.2)])


def test_bm25_prefers_the_shorter_chunk_and_the_rarer_word() -> None:
    short, long = bm25_weights(np.ones(2), np.array([50.0, 200.0]), containing=2, documents=10, average_length=100)
    assert short > long
    (rare,) = bm25_weights(np.ones(1), np.array([50.0]), containing=1, documents=10, average_length=100)
    assert rare > short


def test_a_word_in_every_chunk_still_counts_a_little() -> None:
    assert bm25_weights(np.ones(1), np.array([1.0]), containing=10, documents=10, average_length=1)[0] > 0


def test_words_keep_numbers_and_apostrophes_and_lose_punctuation() -> None:
    assert words("Don't exceed 2.5 bar (Größe: 1,000 mm)!") == [
        "don't",
        "exceed",
        "2.5",
        "bar",
        "grösse",
        "1,000",
        "mm",
    ]
    assert words("насос H-300_b") == ["насос", "h", "300", "b"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("東京都庁", ["東京", "京都", "都庁"]),
        ("水", ["水"]),
        ("ポンプ・ホース", ["ポン", "ンプ", "ホー", "ース"]),
        ("서울에서 만나요", ["서울", "울에", "에서", "만나", "나요"]),
        ("ดีมาก", ["ดี", "ีม", "มา", "าก"]),
        ("H300型は42バール", ["h300", "型は", "42", "バー", "ール"]),
    ],
)
def test_scripts_without_spaces_give_overlapping_pairs(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_a_query_finds_its_characters_inside_a_longer_run() -> None:
    assert set(words("京都")) <= set(words("東京都庁"))
    assert not set(words("京東")) & set(words("東京都庁"))


def test_vowel_signs_and_accents_belong_to_their_letter() -> None:
    assert words("हिन्दी में") == ["हिन्दी", "में"]
    assert words("re\u0301sume\u0301") == ["r\u00e9sum\u00e9"] != words("resume")


@pytest.mark.parametrize(
    ("one", "other"),
    [("ＡＢＣ　３．５", "abc 3.5"), ("ﬁnal oﬃce", "FINAL OFFICE"), ("STRASSE", "Straße"), ("ΣΑΣ", "σας")],
)
def test_spellings_that_look_the_same_are_the_same_words(one: str, other: str) -> None:
    assert words(one) == words(other) != []


# ── fusion ───────────────────────────────────────────────────────────────────────────────────────────────────────────

WORDS = [("c", 8.0), ("a", 4.0), ("d", 2.0)]
NEAR = [("a", 0.9), ("b", 0.5), ("c", 0.1)]


def settings(**values: object) -> RetrievalSettings:
    return RetrievalSettings.model_validate({"k": 10} | values)


def test_a_blend_stretches_each_list_and_weighs_them() -> None:
    alpha = 0.7
    assert blend(dict(NEAR), dict(WORDS), alpha) == pytest.approx(
        {
            "a": alpha * 1 + (1 - alpha) * (4 - 2) / (8 - 2),
            "b": alpha * (0.5 - 0.1) / (0.9 - 0.1),  # no word of the question
            "c": alpha * 0 + (1 - alpha) * 1,
            "d": 0.0,
        }
    )


def test_a_list_of_one_and_a_list_of_equals_are_wholly_good() -> None:
    assert blend({"a": -0.2}, {}, 0.75) == {"a": 0.75}
    assert blend({}, {"a": 3.0, "b": 3.0}, 0.75) == {"a": 0.25, "b": 0.25}
    assert blend({}, {}, 0.5) == {}


@pytest.mark.parametrize(
    ("fusion", "expected"),
    [
        ("rrf", [("a", 1 / 62 + 1 / 61), ("c", 1 / 61 + 1 / 63), ("b", 1 / 62), ("d", 1 / 63)]),
        ("blend", [("a", 0.5 + 0.5 / 3), ("c", 0.5), ("b", 0.25), ("d", 0.0)]),
        ("vector", NEAR),
        ("bm25", WORDS),
    ],
)
def test_every_fusion_ranks_the_same_two_lists(fusion: str, expected: list[tuple[str, float]]) -> None:
    found = ranked(WORDS, NEAR, settings(fusion=fusion, blend_alpha=0.5))
    assert [key for key, _ in found] == [key for key, _ in expected]
    assert [score for _, score in found] == pytest.approx([score for _, score in expected])
    assert ranked(WORDS[::-1], NEAR[::-1], settings(fusion=fusion, blend_alpha=0.5)) == found


@pytest.mark.parametrize("fusion", ["rrf", "blend", "vector", "bm25"])
def test_ties_are_broken_by_key_and_only_what_is_wanted_is_kept(fusion: str) -> None:
    tied = [(key, 0.5) for key in "dbca"]
    assert [key for key, _ in ranked(tied, tied, settings(fusion=fusion, k=2))] == ["a", "b"]


def test_only_the_candidates_asked_for_take_part() -> None:
    found = ranked(WORDS, NEAR, settings(candidates=1))
    assert found == [("a", 1 / 61), ("c", 1 / 61)]


@pytest.mark.parametrize(
    ("values", "count"),
    [
        ({"k": 3}, 50),
        ({"k": 9, "candidates": 5}, 5),
        ({"k": 3, "fusion": "vector"}, 3),
        ({"k": 3, "fusion": "bm25", "reranker": "x"}, 20),
        ({"k": 3, "reranker": "x", "rerank_candidates": 100}, 100),
    ],
)
def test_each_list_brings_as_many_candidates_as_the_settings_need(values: dict[str, object], count: int) -> None:
    assert candidates_wanted(settings(**values)) == count


def test_an_english_ending_does_not_keep_a_question_from_its_answer() -> None:
    assert set(terms("Which pumps are leaking?")) & set(terms("The pump leaks.")) == {"pump", "leak"}


@pytest.mark.parametrize("text", ["H300s", "2.5", "насосами", "東京都", "größen", "don't"])
def test_numbers_names_and_other_alphabets_are_not_stemmed(text: str) -> None:
    assert terms(text) == words(text)


def test_a_question_of_stop_words_only_has_no_terms() -> None:
    assert terms("Is it the?") == []
