from dataclasses import replace

from evaluation_fakes import ABSTENTION, golden_label, perfect

from tasks.core.metrics.question import score_question
from tasks.core.trivial import always_abstain, copy_first_sentence

LABEL = golden_label(1)


def test_always_abstaining_is_never_correct() -> None:
    answer = always_abstain(perfect(LABEL), ABSTENTION)
    scores = score_question(LABEL, answer, abstention=ABSTENTION, k=2)
    assert (answer.text, answer.abstained, scores["correct"], scores["style"]) == (ABSTENTION, True, 0.0, 1.0)


def test_the_first_sentence_is_copied_with_its_marker_and_without_the_heading() -> None:
    answer = copy_first_sentence(perfect(LABEL), ABSTENTION)
    assert answer.text == "Pump 1 stands on a plinth. [1]"
    assert [citation.document for citation in answer.citations] == ["pumps/1.md"]


def test_it_is_correct_where_the_first_sentence_holds_the_fact() -> None:
    right = perfect(LABEL)
    top = replace(right.contexts[0], text=f"Pumps\n{LABEL.answer} It is blue.")
    copied = copy_first_sentence(replace(right, contexts=(top,)), ABSTENTION)
    assert score_question(LABEL, copied, abstention=ABSTENTION, k=2)["all_right"] == 1.0


def test_without_passages_it_declines() -> None:
    assert copy_first_sentence(replace(perfect(LABEL), contexts=()), ABSTENTION).abstained
