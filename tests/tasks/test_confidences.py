"""What confidence is measured by: as the release says, and with no more embedding than that takes."""

from __future__ import annotations

import pytest
from document_fakes import WordEmbedder

from tasks.confidence import confidences
from tasks.core.confidence import passage_confidence
from tasks.core.documents import Chunk, Hit
from tasks.core.releases import RetrievalSettings

HOT, WEIGHT = "How hot is the kiln?", "How heavy is the kiln?"
KILN = Hit(Chunk("c", "kiln.md", ("Kiln",), "The kiln is hot. It stands in the yard."), 1.0, 0.6)
BY_SENTENCE = RetrievalSettings(confidence="sentence")


def test_a_release_that_says_nothing_of_it_measures_by_passage_and_embeds_nothing() -> None:
    embedder = WordEmbedder()
    assert confidences(embedder, [HOT], [[KILN]], RetrievalSettings()) == [passage_confidence(HOT, [KILN])]
    assert embedder.embedded == []


def test_by_sentence_the_similarity_is_that_of_the_sentence_alone() -> None:
    embedder = WordEmbedder()
    asked, said = embedder.embed([HOT, "The kiln is hot."]).astype("float64")
    assert confidences(embedder, [HOT], [[KILN]], BY_SENTENCE) == [
        pytest.approx((float(asked @ said) * 2 / 2) ** 0.5, abs=1e-6)
    ]


def test_a_question_has_the_same_confidence_alone_and_among_others() -> None:
    alone = [confidences(WordEmbedder(), [one], [[KILN]], BY_SENTENCE)[0] for one in (HOT, WEIGHT)]
    assert confidences(WordEmbedder(), [HOT, WEIGHT], [[KILN], [KILN]], BY_SENTENCE) == alone
    assert alone[0] > alone[1]


def test_a_sentence_that_many_questions_find_is_embedded_once() -> None:
    embedder = WordEmbedder()
    confidences(embedder, [HOT, WEIGHT], [[KILN], [KILN, KILN]], BY_SENTENCE)
    assert sorted(embedder.embedded) == sorted([HOT, WEIGHT, "The kiln is hot.", "It stands in the yard."])


def test_where_nothing_was_found_nothing_is_embedded() -> None:
    embedder = WordEmbedder()
    assert confidences(embedder, [HOT], [[]], BY_SENTENCE) == [0.0]
    assert embedder.embedded == []
