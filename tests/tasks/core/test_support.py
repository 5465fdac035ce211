"""What the cited passage must hold: every number and every name of the answer."""

from __future__ import annotations

import pytest

from tasks.core.support import names, numbers, supported

PASSAGE = "Halden 300 > Limits\nThe Halden 300 runs at up to 42 bar and makes 1,900 turns in four hours at Aldmoor."


@pytest.mark.parametrize(
    "answer",
    [
        "The Halden 300 runs at up to 42 bar. [1]",
        "It makes 1900 turns.",
        "A 42-bar washer runs for 4 hours.",
        "It stands in Aldmoor's hall.",
        "Use it outdoors.",
        "HALDEN 300 washers are strong.",
        "",
    ],
)
def test_what_the_passage_says_is_supported(answer: str) -> None:
    assert supported(answer, PASSAGE).supported


@pytest.mark.parametrize(
    ("answer", "missing"),
    [
        ("It runs at 45 bar. [1]", ("45",)),
        ("It makes 19,000 turns.", ("19000",)),
        ("It runs for five hours.", ("5",)),
        ("The Skerry runs at 42 bar.", ("Skerry",)),
        ("Skerry 300 runs at 42 bar.", ("Skerry",)),
        ("It runs at 4.2 bar in Oslo.", ("4.2", "Oslo")),
    ],
)
def test_what_it_does_not_say_is_named(answer: str, missing: tuple[str, ...]) -> None:
    support = supported(answer, PASSAGE)
    assert (support.supported, support.missing) == (False, missing)
    assert all(one in support.reason for one in missing)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1,900 and 1 900 and 1'900", {"1900", "1", "900"}),
        ("2.50 kg or 2,5 kg", {"2.5"}),
        ("100 is not 1", {"100", "1"}),
        ("version 1.2.3", {"1.2.3"}),
        ("one or two", {"2"}),
        ("M12 bolts, 42-bar", {"12", "42"}),
    ],
)
def test_numbers_have_one_spelling(text: str, found: set[str]) -> None:
    assert numbers(text) == found


def test_a_first_word_is_a_name_only_before_a_name_or_number() -> None:
    assert names("Store it. Aldmoor Hall is open. Pump 7 leaks. The Skerry sank.") == [
        "Aldmoor",
        "Hall",
        "Pump",
        "Skerry",
    ]
