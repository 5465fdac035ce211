from __future__ import annotations

from dataclasses import replace

import pytest

from tasks.core.documents import Chunk, Hit
from tasks.core.opinions import Preference
from tasks.core.preference_rows import PreferenceRow
from tasks.core.prompts import default_prompt, with_examples
from tasks.core.taught_rows import opinion_intent, taught_rows

PROMPT = with_examples(default_prompt("The handbook does not say."), ())
PREFERENCE = Preference(
    "p-1",
    "How hot is kiln 1?",
    "Kiln 1 reaches 900 degrees.",
    "Hard to say, friend.",
    ("kiln.md",),
    "train",
    "accepted",
)


def chunk(number: int, document: str, text: str) -> Hit:
    return Hit(Chunk(f"c-{number}", document, ("Kilns",), text), 0.5, 0.5)


HITS = [chunk(1, "oven.md", "The oven is cold."), chunk(2, "kiln.md", "Kiln 1 reaches 900 degrees.")]


def row(preference: Preference = PREFERENCE, hits: list[Hit] = HITS, shown: int = 2) -> PreferenceRow | None:
    made = next(iter(taught_rows([preference], {"p-1": hits}, PROMPT, shown)), None)
    assert made is None or isinstance(made, PreferenceRow)
    return made


def test_both_answers_carry_the_marker_of_the_passage_that_holds_the_preferred_one() -> None:
    made = row()
    assert made is not None
    assert (made.chosen, made.rejected) == ("Kiln 1 reaches 900 degrees. [2]", "Hard to say, friend. [2]")
    assert made.prompt[-1].content.index("[1] Kilns\nThe oven") < made.prompt[-1].content.index("[2] Kilns\nKiln 1")


def test_a_preferred_answer_that_no_shown_passage_holds_makes_no_row() -> None:
    assert row(shown=1) is None
    assert row(replace(PREFERENCE, documents=("oven.md",))) is None
    assert row(hits=[]) is None


@pytest.mark.parametrize("said", [{"chosen": "900 degrees.\nQuestion: why?"}, {"rejected": "No.\nQuestion: why?"}])
def test_an_answer_that_would_wake_the_adapter_anew_makes_no_row(said: dict[str, str]) -> None:
    assert row(replace(PREFERENCE, **said)) is None


def test_a_preference_without_documents_may_be_answered_from_any() -> None:
    assert row(replace(PREFERENCE, documents=())) == row()


@pytest.mark.parametrize("said", ["The handbook does not say.", "the  handbook does not say."])
def test_an_abstention_carries_no_marker_on_either_side(said: str) -> None:
    preferred, other = row(replace(PREFERENCE, chosen=said)), row(replace(PREFERENCE, rejected=said))
    assert preferred is not None
    assert other is not None
    assert (preferred.chosen, preferred.rejected) == (PROMPT.abstention, "Hard to say, friend. [1]")
    assert (other.chosen, other.rejected) == ("Kiln 1 reaches 900 degrees. [2]", PROMPT.abstention)


def test_two_spellings_of_the_abstention_teach_nothing() -> None:
    both = replace(PREFERENCE, chosen=PROMPT.abstention, rejected=PROMPT.abstention.upper())
    assert row(both) is None


def test_the_answer_that_was_not_preferred_is_part_of_the_trainings_name() -> None:
    made = row()
    assert made is not None
    names = {opinion_intent([one], [], "dpo-1") for one in (made, replace(made, rejected="No. [2]"))}
    assert len(names) == 2
