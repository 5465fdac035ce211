"""Ranking by hand-made arithmetic."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from tasks.core.retrieval import best, bm25_weights, fuse, words


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
    assert words("Don't exceed 2.5 bar (Größe: 1,000 mm)!") == ["don't", "exceed", "2.5", "bar", "größe", "1,000", "mm"]
    assert words("насос H-300_b") == ["насос", "h", "300", "b"]
