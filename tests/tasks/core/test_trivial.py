"""Answerers that understand nothing: what each says, and what that scores."""

from dataclasses import replace

import pytest
from evaluation_fakes import ABSTENTION, declines, golden_label, golden_labels, perfect

from tasks.core.answers import Answer
from tasks.core.labels import Label
from tasks.core.metrics.question import Marking, score_question
from tasks.core.metrics.score import CITES_NOTHING, Scores
from tasks.core.scoring import mark, mark_trivial
from tasks.core.trivial import always_abstain, copy_first_sentence, majority_answers, majority_class

LABEL = golden_label(1)
MARKING = Marking(ABSTENTION, 2)


def scores(answer: Answer) -> Scores:
    return score_question(LABEL, answer, MARKING)


def about(n: int, answer: str | None, page: str = "pumps/1.md") -> Label:
    """A label with this ideal answer; None: no page answers it."""
    label = golden_label(n, page=page, unanswerable=answer is None)
    return label if answer is None else replace(label, answer=answer)


def test_always_abstaining_is_never_correct() -> None:
    answer = always_abstain(perfect(LABEL), ABSTENTION)
    found = scores(answer)
    assert (answer.text, answer.abstained, found["correct"], found["style"]) == (ABSTENTION, True, 0.0, 1.0)


def test_the_first_sentence_is_copied_with_its_marker_and_without_the_heading() -> None:
    answer = copy_first_sentence(perfect(LABEL), ABSTENTION)
    assert answer.text == "Pump 1 stands on a plinth. [1]"
    assert [citation.document for citation in answer.citations] == ["pumps/1.md"]


def test_it_is_correct_where_the_first_sentence_holds_the_fact() -> None:
    right = perfect(LABEL)
    top = replace(right.contexts[0], text=f"Pumps\n{LABEL.answer} It is blue.")
    assert scores(copy_first_sentence(replace(right, contexts=(top,)), ABSTENTION))["all_right"] == 1.0


def test_copying_is_faithful_and_cites_what_it_copies() -> None:
    found = scores(copy_first_sentence(perfect(LABEL), ABSTENTION))
    assert (found["faithfulness"], found["citation_recall"], found["citation_precision"]) == (1.0, 1.0, 1.0)
    assert found["correct"] == 0.0


def test_without_passages_it_declines() -> None:
    assert copy_first_sentence(replace(perfect(LABEL), contexts=()), ABSTENTION).abstained


def test_the_majority_class_is_the_commonest_ideal_answer_of_the_same_folders() -> None:
    labels = [
        about(1, "Weekly."),
        about(2, "Weekly."),
        about(3, "Monthly."),
        about(4, "Monthly. [2]"),  # a marker belongs to one prompt's passages
        about(5, "Monthly.\n"),
        about(6, "Yes.", page="hr/leave.md"),
        about(7, None, page="hr/leave.md"),
        about(8, None, page="hr/leave.md"),
    ]
    usual = majority_answers(labels)
    assert [usual[label.id] for label in labels] == ["Monthly."] * 5 + [None] * 3


def test_among_equally_common_answers_the_first_by_alphabet_is_said_and_the_abstention_last() -> None:
    labels = [about(1, "Weekly."), about(2, None), about(3, "Monthly.")]
    assert set(majority_answers(labels).values()) == {"Monthly."}
    assert majority_answers(labels) == majority_answers(labels[::-1])


def test_it_says_what_is_usual_without_a_citation() -> None:
    answer = majority_class(perfect(LABEL), LABEL.answer, ABSTENTION)
    assert (answer.text, answer.abstained, answer.citations) == (LABEL.answer, False, ())
    found = scores(answer)
    assert (found["correct"], found["citation"], found["citation_valid"]) == (1.0, 0.0, CITES_NOTHING)


def test_where_most_questions_have_no_answer_it_declines() -> None:
    answer = majority_class(perfect(LABEL), None, ABSTENTION)
    assert (answer.text, answer.abstained, answer.abstained_because) == (ABSTENTION, True, "model")


def test_each_answerer_is_scored_on_the_same_questions_with_the_same_passages() -> None:
    labels = golden_labels(6, 3, per_page=3)
    sheet = mark("r-1", labels, [perfect(label) for label in labels], MARKING)
    trivial = mark_trivial(sheet, MARKING)
    assert [one.answerer for one in trivial] == ["always-abstain", "copy-first-sentence", "majority-class"]
    for one in trivial:
        assert one.label_ids == sheet.label_ids
        assert [q.answer.contexts for q in one.questions] == [q.answer.contexts for q in sheet.questions]
        assert {q.answer.release for q in one.questions} == {one.answerer}


@pytest.mark.parametrize("behaviour", [perfect, declines])
def test_they_do_not_depend_on_what_the_release_said(behaviour) -> None:
    labels = golden_labels(6, 3, per_page=3)
    sheets = [mark("r", labels, [made(label) for label in labels], MARKING) for made in (perfect, behaviour)]
    said = [[[q.answer.text for q in one.questions] for one in mark_trivial(sheet, MARKING)] for sheet in sheets]
    assert said[0] == said[1]


def test_the_majority_class_is_right_about_as_many_as_share_an_answer() -> None:
    labels = [about(n, "It reaches 1001 bar." if n % 3 else f"It reaches {n} bar.") for n in range(1, 10)]
    labels = [replace(label, facts=(label.answer.removeprefix("It reaches ")[:-1],)) for label in labels]
    sheet = mark("r", labels, [perfect(label) for label in labels], MARKING)
    majority = mark_trivial(sheet, MARKING)[2]
    assert sum(q.scores["correct"] == 1.0 for q in majority.questions) == 6
