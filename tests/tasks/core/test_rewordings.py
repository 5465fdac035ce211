"""What a rewording may change, and what makes it another question."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.rewordings import keys, phrasing, reworded, spellings


def same(a: str, b: str) -> bool:
    return reworded(phrasing(a.split()), phrasing(b.split()))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("presure", "pressure"),  # one letter less
        ("preessure", "pressure"),
        ("pressvre", "pressure"),
        ("perssure", "pressure"),  # two swapped
    ],
)
def test_one_word_may_be_misspelt_by_one_letter(a: str, b: str) -> None:
    assert same(f"how high is the {a} in hall five", f"how high is the {b} in hall five")


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("maximum", "minimum"),  # two letters
        ("inlet", "outlet"),
        ("heat", "seat"),  # too short, and another beginning
        ("tired", "fired"),
        ("march", "may"),
    ],
)
def test_another_word_makes_another_question(a: str, b: str) -> None:
    assert not same(f"how high is the {a} in hall five", f"how high is the {b} in hall five")


def test_two_misspelt_words_are_too_many_and_so_is_one_among_few() -> None:
    assert not same("how high is the presure of the vallve", "how high is the pressure of the valve")
    assert not same("which value leaks", "which valve leaks")


def test_a_phrase_may_move_to_the_front_and_not_trade_places() -> None:
    assert same("how long does it last in winter", "in winter how long does it last")
    assert not same("is the red lamp above the green lamp", "is the green lamp above the red lamp")
    assert not same("how long from tank to boiler", "how long from boiler to tank")


def test_a_preposition_may_move_or_be_left_out_and_not_be_another() -> None:
    assert same("at what pressure does it run", "what pressure does it run at")
    assert same("on which day is it closed", "which day is it closed")
    assert not same("is the key in the box", "is the key on the box")


def test_words_of_politeness_do_not_count() -> None:
    assert same("could you please tell me how hot it gets", "how hot does it get")


LETTERS = st.text("abcde", min_size=5, max_size=8)


@given(st.lists(st.lists(LETTERS, min_size=3, max_size=6).map(" ".join), min_size=2, max_size=6))
def test_rewordings_always_share_a_key_and_a_spelling(texts: list[str]) -> None:
    for a, b in combinations([phrasing(text.split()) for text in texts], 2):
        if reworded(a, b):
            shared = [(x, y) for key, x in keys(a) for other, y in keys(b) if key == other]
            assert any(spellings(x) & spellings(y) for x, y in shared)
