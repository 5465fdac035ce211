"""How sure retrieval is, and the threshold that validation labels choose."""

from __future__ import annotations

import pytest

from tasks.core.confidence import calibrate, confidence
from tasks.core.documents import Chunk, Hit


def hit(text: str, similarity: float) -> Hit:
    return Hit(Chunk("c", "d.md", (), text), 1.0, similarity)


def test_confidence_is_the_mean_of_similarity_and_covered_content_words() -> None:
    assert confidence("How hot is the kiln?", [hit("The kiln is hot.", 0.6)]) == (0.6 + 2 / 2) / 2
    assert confidence("How hot is the kiln?", [hit("The kiln is red.", 0.6)]) == (0.6 + 1 / 2) / 2


def test_the_best_passage_counts_wherever_it_stands() -> None:
    low, high = hit("Ferries sail.", 0.9), hit("The kiln is hot.", 0.5)
    assert confidence("How hot is the kiln?", [low, high]) == pytest.approx((0.5 + 1) / 2)


def test_forms_of_a_word_meet() -> None:
    assert confidence("heating hoses", [hit("Hose heated.", 0.0)]) == (0 + 2 / 2) / 2


@pytest.mark.parametrize(("question", "hits"), [("Why?", []), ("", [hit("Text", -0.5)])])
def test_nothing_found_or_asked_is_no_confidence(question: str, hits: list[Hit]) -> None:
    assert confidence(question, hits) == 0.0


def test_the_threshold_separates_what_can_be_separated() -> None:
    assert calibrate([0.75, 0.8, 0.9], [0.25, 0.5]) == (0.5 + 0.75) / 2


def test_no_more_answerable_questions_are_lost_than_allowed() -> None:
    answerable = [0.1, *(0.5 + n / 100 for n in range(19))]  # 1 of 20 is 5 %
    assert calibrate(answerable, [0.2, 0.3]) == pytest.approx((0.3 + 0.5) / 2)
    assert calibrate(answerable, [0.2, 0.3], max_false_abstention=0.04) is None


def test_without_unanswerable_questions_or_a_lead_there_is_no_threshold() -> None:
    assert calibrate([0.5, 0.6], []) is None
    assert calibrate([], []) is None
    assert calibrate([0.5, 0.6], [0.7, 0.8]) is None
