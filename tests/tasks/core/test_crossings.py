import pytest

from tasks.core.crossings import Crossing, Step, step

OPEN = Crossing(1, frozenset("abc"))


@pytest.mark.parametrize(("new", "opens"), [("", False), ("ab", False), ("abc", True), ("abcd", True)])
def test_a_crossing_opens_at_the_threshold(new: str, opens: bool) -> None:
    assert step(None, set(new), 3) == Step(opens=opens)


def test_more_labels_are_the_same_crossing() -> None:
    assert step(OPEN, set("abcdefghi"), 3) == Step()


def test_consumed_in_part_it_stays_open_while_there_are_enough() -> None:
    assert step(OPEN, set("cde"), 3) == Step()


def test_it_closes_when_too_few_are_left_and_does_not_open_again() -> None:
    assert step(OPEN, set("ab"), 3) == Step(close="2 new labels are fewer than 3")


def test_what_came_during_a_training_crosses_anew_when_that_has_consumed_the_rest() -> None:
    assert step(OPEN, set("def"), 3) == Step(close="the labels that crossed are no longer new", opens=True)
    assert step(OPEN, set("de"), 3) == Step(close="2 new labels are fewer than 3")
