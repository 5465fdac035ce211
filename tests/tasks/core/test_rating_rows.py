from __future__ import annotations

from dataclasses import replace

import pytest

from tasks.core.documents import Chunk, Hit
from tasks.core.opinions import Rating
from tasks.core.prompts import default_prompt, with_examples
from tasks.core.rating_rows import RatingRow, kinds, weights
from tasks.core.taught_rows import taught_rows

PROMPT = with_examples(default_prompt("The handbook does not say."), ())
GOOD = Rating("v-1", "How hot is kiln 1?", "Kiln 1 reaches 900 degrees.", 1.0, ("kiln.md",), "train", "accepted")
BAD = replace(GOOD, id="v-2", answer="Hard to say, friend.", value=0.0)


def chunk(number: int, document: str, text: str) -> Hit:
    return Hit(Chunk(f"c-{number}", document, ("Kilns",), text), 0.5, 0.5)


HITS = [chunk(1, "oven.md", "The oven is cold."), chunk(2, "kiln.md", "Kiln 1 reaches 900 degrees.")]


def row(rating: Rating, hits: list[Hit] = HITS) -> RatingRow | None:
    made = next(iter(taught_rows([rating], {rating.id: hits}, PROMPT, 2)), None)
    assert made is None or isinstance(made, RatingRow)
    return made


def test_a_rated_answer_carries_the_marker_of_the_passage_that_holds_it_else_the_first() -> None:
    good, bad, wrongly_bad = row(GOOD), row(BAD), row(replace(GOOD, value=0.1))
    assert (good and good.answers) == {"completion": "Kiln 1 reaches 900 degrees. [2]", "good": True}
    assert (bad and bad.answers) == {"completion": "Hard to say, friend. [1]", "good": False}
    assert (wrongly_bad and wrongly_bad.answers) == {"completion": "Kiln 1 reaches 900 degrees. [2]", "good": False}


def test_a_good_answer_that_no_shown_passage_holds_makes_no_row() -> None:
    assert row(replace(BAD, value=1.0)) is None
    assert row(GOOD, hits=[]) is None


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_an_abstention_carries_no_marker(value: float) -> None:
    made = row(replace(GOOD, answer="the handbook does not say.", value=value))
    assert (made and made.completion) == PROMPT.abstention


def test_what_is_neither_good_nor_bad_or_would_wake_the_adapter_anew_makes_no_row() -> None:
    assert row(replace(GOOD, value=0.5)) is None
    assert row(replace(BAD, answer="No.\nQuestion: why?")) is None


@pytest.mark.parametrize(("good", "bad"), [(30, 10), (10, 30), (5, 5)])
def test_both_kinds_count_the_same_in_all(good: int, bad: int) -> None:
    of_good, of_bad = weights(good, bad)
    assert of_good * good == of_bad * bad
    assert min(of_good, of_bad) == 1.0


def test_kinds_are_counted() -> None:
    made = [row(one) for one in (GOOD, BAD, replace(BAD, id="v-3"))]
    assert kinds(one for one in made if one) == (1, 2)
