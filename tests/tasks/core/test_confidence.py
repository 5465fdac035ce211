"""How sure retrieval is, and the threshold that validation labels choose."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.confidence import READ, Telling, calibrate, passage_confidence, sentence_confidence, telling_sentences
from tasks.core.documents import Chunk, Hit


def hit(text: str, similarity: float) -> Hit:
    return Hit(Chunk("c", "d.md", (), text), 1.0, similarity)


def test_confidence_is_the_mean_of_similarity_and_covered_content_words() -> None:
    assert passage_confidence("How hot is the kiln?", [hit("The kiln is hot.", 0.6)]) == (0.6 + 2 / 2) / 2
    assert passage_confidence("How hot is the kiln?", [hit("The kiln is red.", 0.6)]) == (0.6 + 1 / 2) / 2


def test_the_best_passage_counts_wherever_it_stands() -> None:
    low, high = hit("Ferries sail.", 0.9), hit("The kiln is hot.", 0.5)
    assert passage_confidence("How hot is the kiln?", [low, high]) == pytest.approx((0.5 + 1) / 2)


def test_forms_of_a_word_meet() -> None:
    assert passage_confidence("heating hoses", [hit("Hose heated.", 0.0)]) == (0 + 2 / 2) / 2


@pytest.mark.parametrize(("question", "hits"), [("Why?", []), ("", [hit("Text", -0.5)])])
def test_nothing_found_or_asked_is_no_confidence(question: str, hits: list[Hit]) -> None:
    assert passage_confidence(question, hits) == 0.0


# ── by sentence ──────────────────────────────────────────────────────────────────────────────────────────────────────


def page(text: str, *headings: str) -> Hit:
    return Hit(Chunk("c", "d.md", headings, text), 1.0, 0.5)


def test_sentence_confidence_is_the_geometric_mean_of_similarity_and_covered_content_words() -> None:
    told = telling_sentences("How hot is the red kiln?", [page("The kiln is hot.")])
    assert told == (Telling("The kiln is hot.", 2 / 3),)
    assert sentence_confidence(told, [0.6]) == pytest.approx((0.6 * 2 / 3) ** 0.5)


def test_words_of_two_sentences_do_not_add_up_to_an_answer() -> None:
    question = "How hot is the kiln?"
    together, apart = page("The kiln is hot."), page("The kiln is red. Ferries get hot.")
    assert telling_sentences(question, [together])[0].covered == 1
    assert [one.covered for one in telling_sentences(question, [apart])] == [1 / 2, 1 / 2]
    assert passage_confidence(question, [together]) == passage_confidence(question, [apart])


def test_a_sentence_is_helped_by_its_headings_and_compared_without_them() -> None:
    told = telling_sentences("How hot is the kiln?", [page("It is hot.", "Machines", "Kiln")])
    assert told == (Telling("It is hot.", 1.0),)


def test_the_best_sentence_counts_and_not_the_mean() -> None:
    told = (Telling("a", 1.0), Telling("b", 0.5))
    assert sentence_confidence(told, [0.64, 0.9]) == 0.8
    assert sentence_confidence(told, [0.64, -1.0]) == 0.8


def test_only_the_few_sentences_with_most_of_the_words_are_read_and_each_once() -> None:
    text = " ".join(f"Red kiln {n} is hot." for n in range(READ + 2)) + " The big red kiln is hot."
    told = telling_sentences("How hot is the big red kiln?", [page(text), page(text)])
    assert [one.text for one in told] == [
        "The big red kiln is hot.",
        *(f"Red kiln {n} is hot." for n in range(READ - 1)),
    ]


def test_a_sentence_with_far_fewer_of_the_words_than_the_best_is_not_read() -> None:
    hit = page("Red kilns get hot in the yard. Kilns get hot in a yard. Kilns get hot.")
    told = telling_sentences("Do red kilns get hot in the yard?", [hit])
    assert [one.covered for one in told] == [5 / 5, 4 / 5]


def test_neighbours_are_read_too() -> None:
    hit = replace(page("It is red."), after=(Chunk("d", "d.md", (), "The kiln is hot."),))
    assert telling_sentences("How hot is the kiln?", [hit])[0].text == "The kiln is hot."


def test_a_row_of_a_table_is_read_below_the_names_of_its_columns() -> None:
    told = telling_sentences("At how many bar does the H300 run?", [page("Part | Bar\nH300 | 42\nH400 | 50")])
    assert told[0] == Telling("Part | Bar\nH300 | 42", 2 / 3)


SENTENCES = st.lists(st.tuples(st.floats(0, 1), st.floats(-1, 1)), max_size=6)


@given(SENTENCES, st.floats(0, 1), st.floats(-1, 1))
def test_confidence_is_between_0_and_1_and_one_more_sentence_never_lowers_it(
    known: list[tuple[float, float]], covered: float, similarity: float
) -> None:
    def sure(read: list[tuple[float, float]]) -> float:
        return sentence_confidence([Telling("x", one) for one, _ in read], [near for _, near in read])

    assert 0 <= sure(known) <= sure([*known, (covered, similarity)]) <= 1


@pytest.mark.parametrize(("question", "hits"), [("Why?", []), ("Why is it?", [page("It is.")]), ("Kiln?", [page("")])])
def test_without_content_words_or_sentences_nothing_is_read_and_there_is_no_confidence(
    question: str, hits: list[Hit]
) -> None:
    assert telling_sentences(question, hits) == ()
    assert sentence_confidence((), []) == 0.0


# ── the threshold ─────────────────────────────────────────────────────────────────────────────────────────────────────


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
