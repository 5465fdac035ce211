from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.near_duplicates import wording
from tasks.core.verbatim import COVERED, RUN, verbatim_pairs

OIL = "The gearbox oil of the Skerry 40 is changed every 500 hours, and sooner when it smells burnt."


def found(text: str, other: str) -> bool:
    return list(verbatim_pairs([text], [other])) == [(0, 0)]


@pytest.mark.parametrize(
    "other",
    [
        OIL,
        OIL.upper().replace("SKERRY", "Skerry").replace(",", ";"),
        f"What about the oil? You asked before. {OIL} Is there more?",
        f"{OIL[:-1]} or of fish.",
    ],
)
def test_a_copy_is_found_whatever_stands_around_it_and_however_it_is_written(other: str) -> None:
    assert found(OIL, other)


@pytest.mark.parametrize(
    "other",
    [
        OIL.replace("40", "60"),
        OIL.replace("Skerry", "Halden"),
        OIL.replace("500", "250"),
        OIL.replace("is changed", "is not changed").replace("500", "800"),
        "Every 500 hours the Skerry 40 gets new oil in its gearbox, or when the old one smells burnt.",
        "The Skerry 40 is a pump.",
        "",
    ],
)
def test_the_same_pattern_about_another_thing_and_the_same_thing_in_other_words_are_no_copies(other: str) -> None:
    assert not found(OIL, other)


LONG = (
    "According to the manual that hangs beside the door of the northern hall, the maximum pressure of the Halden 300 "
    "may be kept up for two minutes of running at full speed and then has to be let down."
)


@pytest.mark.parametrize(
    "other",
    [
        LONG.replace("300", "500"),
        LONG.replace("Halden", "Skerry"),
        LONG.replace("300", "300 B").replace("Halden", "pump"),
    ],
)
def test_one_number_or_name_makes_it_another_however_long_the_rest(other: str) -> None:
    assert found(LONG, f"{LONG} And so on.")
    assert not found(LONG, other)


def test_one_negation_makes_it_another_however_long_the_rest() -> None:
    denied = LONG.replace("may be kept", "may never be kept")
    assert found(denied, denied)
    assert not found(denied, LONG)


def words(n: int, start: int = 0) -> str:
    names = [a + b for a in ("la", "ke", "mo", "ti", "su") for b in ("ra", "ne", "po", "vi", "du")]
    return " ".join(names[(start + at) % len(names)] for at in range(n))


def test_runs_of_eight_words_count_and_four_fifths_of_the_words_have_to_stand_in_them() -> None:
    assert not found(words(RUN - 1), words(RUN - 1))
    assert found(words(RUN), f"so {words(RUN)} so")
    assert not found(words(20), f"{words(RUN - 1)} so {words(RUN - 1, RUN - 1)} so {words(6, 14)}")
    text = words(20)
    assert found(text, words(int(COVERED * 20)))
    assert not found(text, words(int(COVERED * 20) - 1))


def test_runs_in_two_places_count_together() -> None:
    assert found(words(20), f"{words(9)} and so on, then {words(9, 11)}")


def test_articles_make_no_difference() -> None:
    assert found(OIL, OIL.replace("The ", "").replace("the ", ""))


vocabulary = [a + b for a in ("gear", "pump", "oil", "hose", "valve") for b in ("age", "ing", "ed", "er", "ly", "ish")]
texts = st.lists(st.sampled_from(vocabulary), min_size=RUN, max_size=40)


@given(texts, st.integers(1, RUN - 1))
def test_a_paraphrase_that_changes_a_word_in_every_eight_is_not_found(text: list[str], every: int) -> None:
    noise = cycle(("howsoever", "whichever"))
    other = [next(noise) if at % (every + 1) == every else word for at, word in enumerate(text)]
    assert not found(" ".join(text), " ".join(other))


@given(st.lists(texts, max_size=5), st.lists(texts, max_size=5))
def test_every_text_is_found_in_itself_and_pairs_are_those_of_comparing_each_with_each(
    some: list[list[str]], others: list[list[str]]
) -> None:
    left, right = [" ".join(text) for text in some], [" ".join(text) for text in [*others, *some]]
    pairs = list(verbatim_pairs(left, right))
    assert len(pairs) == len(set(pairs))
    assert {(i, len(others) + i) for i in range(len(left))} <= set(pairs)
    slow = {(i, j) for i, a in enumerate(left) for j, b in enumerate(right) if copied(a, b)}
    assert set(pairs) == slow


def copied(text: str, other: str) -> bool:
    mine, theirs = wording(text).words, wording(other).words
    runs = {theirs[at : at + RUN] for at in range(len(theirs) - RUN + 1)}
    held = {n for at in range(len(mine) - RUN + 1) if mine[at : at + RUN] in runs for n in range(at, at + RUN)}
    return bool(held) and len(held) >= COVERED * len(mine)
