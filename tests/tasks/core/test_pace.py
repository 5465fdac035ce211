from collections.abc import Sequence
from dataclasses import replace

from evaluation_fakes import declines, golden_labels, perfect
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.answers import AbstainedBecause, Answer
from tasks.core.labels import Label
from tasks.core.pace import to_rehearse

LABELS = golden_labels(60, 30)
ASKED = [perfect(label) for label in LABELS]


def unsure(label: Label, because: AbstainedBecause = "confidence") -> Answer:
    return replace(declines(label), abstained_because=because)


def unanswerable(labels: Sequence[Label]) -> int:
    return sum(label.unanswerable for label in labels)


def test_the_first_few_hold_both_sorts_as_the_golden_set_does() -> None:
    chosen = to_rehearse(LABELS, [ASKED], 6)
    assert (len(chosen), unanswerable(chosen)) == (6, 6 * 30 // 90)


def test_the_same_golden_set_gives_the_same_questions_in_whatever_order_it_comes() -> None:
    assert to_rehearse(LABELS[::-1], [ASKED[::-1]], 6) == to_rehearse(LABELS, [ASKED], 6)


def test_they_are_not_simply_the_first_ones() -> None:
    assert {label.id for label in to_rehearse(LABELS, [ASKED], 6)} != {label.id for label in LABELS[:6]}


def test_a_question_that_some_release_declined_unasked_is_left_out() -> None:
    def one_in_two(label: Label) -> Answer:
        return unsure(label) if int(label.id[2:], 16) % 2 else perfect(label)

    chosen = to_rehearse(LABELS, [ASKED, [one_in_two(label) for label in LABELS]], 60)
    assert len(chosen) == 45
    assert all(int(label.id[2:], 16) % 2 == 0 for label in chosen)


def test_when_every_question_is_declined_unasked_those_are_taken() -> None:
    nobody = [unsure(label, "no-passages") for label in LABELS]
    assert len(to_rehearse(LABELS, [nobody], 6)) == 6


def test_what_the_model_itself_declines_was_asked() -> None:
    model = [unsure(label, "model") for label in LABELS]
    assert to_rehearse(LABELS, [model], 6) == to_rehearse(LABELS, [ASKED], 6)


@given(answerable=st.integers(0, 30), others=st.integers(0, 30), count=st.integers(0, 40))
def test_there_are_as_many_as_asked_for_or_all_and_none_twice(answerable: int, others: int, count: int) -> None:
    labels = golden_labels(answerable, others)
    chosen = to_rehearse(labels, [[perfect(label) for label in labels]], count)
    assert len({label.id for label in chosen}) == len(chosen) == min(count, len(labels))
    share = others / max(1, len(labels))
    assert abs(unanswerable(chosen) - share * len(chosen)) <= 1
