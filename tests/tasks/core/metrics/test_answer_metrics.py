from dataclasses import replace

import pytest
from evaluation_fakes import ABSTENTION, declines, golden_label, perfect, says, wrong

from tasks.core.metrics.answer import abstains, abstention_precision, answers, correct, style
from tasks.core.metrics.score import IS_ANSWERABLE, IS_UNANSWERABLE, NOT_DECLINED

ASKED = golden_label(1)
HOPELESS = golden_label(2, unanswerable=True)


def test_every_fact_must_occur() -> None:
    label = replace(ASKED, facts=("42 bar", "90 °C"))
    assert correct(label, says(label, "It runs at 42 bar.")) == 0.0
    assert correct(label, says(label, "It runs at 42 bar and 90 °C.")) == 1.0


def test_without_facts_numbers_and_most_words_must_agree() -> None:
    label = replace(ASKED, facts=(), answer="The pump reaches 42 bar in winter.")
    assert correct(label, says(label, "The pump reaches 42 bar.")) == 1.0
    assert correct(label, says(label, "The pump reaches 43 bar in winter.")) == 0.0
    assert correct(label, says(label, "42")) == 0.0


def test_nothing_is_correct_where_no_page_answers() -> None:
    assert correct(HOPELESS, wrong(HOPELESS)) == correct(HOPELESS, declines(HOPELESS)) == IS_UNANSWERABLE


def test_abstention_has_recall_on_unanswerable_questions_and_precision_on_declined_ones() -> None:
    asked = [(HOPELESS, declines), (HOPELESS, wrong), (ASKED, declines), (ASKED, perfect)]
    made = [(label, behaviour(label)) for label, behaviour in asked]
    assert [abstains(*one) for one in made] == [1.0, 0.0, IS_ANSWERABLE, IS_ANSWERABLE]
    assert [abstention_precision(*one) for one in made] == [1.0, NOT_DECLINED, 0.0, NOT_DECLINED]
    assert [answers(*one) for one in made] == [IS_UNANSWERABLE, IS_UNANSWERABLE, 0.0, 1.0]


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("The Halden 300 runs at up to 42 bar. [2]", 1),
        ("The Halden 300 runs at up to 42 bar. [1][2]", 1),
        ("The Halden 300 runs at up to 42 bar. [1] [2]", 1),
        (ABSTENTION, 1),
        (f"{ABSTENTION} [1]", 1),  # a sentence and its marker: in style, though no abstention
        ("The Halden 300 runs at up to 42 bar.", 0),
        ("The Halden 300 runs at up to 42 bar [2]", 0),
        ("The Halden 300 runs at up to 42 bar [2].", 0),
        ("The Halden 300 runs at up to 42 bar. [1, 2]", 0),
        ("It runs at 42 bar. It is blue. [2]", 0),
        ("It runs at 42 bar. [1] It is blue. [2]", 0),
        ("It runs at 42 bar.\n[2]", 1),
        ("Limits\nIt runs at 42 bar. [2]", 0),
        ("[2]", 0),
        ("", 0),
    ],
)
def test_the_house_style(text: str, valid: int) -> None:
    assert style(replace(perfect(ASKED), text=text), ABSTENTION) == valid
