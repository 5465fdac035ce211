"""Whether an answer says only what the passages shown say."""

from dataclasses import replace

import pytest
from evaluation_fakes import declines, golden_label, perfect, says

from tasks.core.metrics.faithfulness import faithfulness
from tasks.core.metrics.retrieval import NO_RETRIEVAL
from tasks.core.metrics.score import DECLINED, NOTHING_CLAIMED

LABEL = golden_label(1)  # its passages: pump 1 stands on a plinth and reaches 1001 bar; use grade 46


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("Pump 1 reaches 1001 bar.", 1),
        ("Pump 1 reaches 1,001 bar.", 1),
        ("Pump 1 never reaches 1001 bar.", 0),
        ("Pump 1 reaches 1002 bar.", 0),
        ("Pump 2 reaches 1001 bar.", 0),
        ("Tea is served at four.", 0),
        ("Pump 1 reaches 1001 bar. It is made of brass.", 1 / 2),
        ("Yes. Pump 1 reaches 1001 bar. Anything else?", 1),
        ("Use grade 46. Pump 1 stands on a plinth. Pump 1 reaches 7 bar.", 2 / 3),
    ],
)
def test_it_is_the_share_of_sentences_that_the_passages_support(text: str, share: float) -> None:
    assert faithfulness(says(LABEL, text), 2) == share


def test_the_cited_passage_does_not_matter_only_what_was_shown() -> None:
    assert faithfulness(says(LABEL, "Pump 1 reaches 1001 bar.", marker=2), 2) == 1.0


def test_it_is_asked_where_no_page_answers_too() -> None:
    hopeless = golden_label(2, unanswerable=True)
    assert faithfulness(says(hopeless, "It reaches 9 bar."), 2) == 0.0


def test_with_nothing_found_nothing_is_supported() -> None:
    assert faithfulness(replace(perfect(LABEL), contexts=()), 2) == 0.0


def test_undefined_is_said_and_never_zero() -> None:
    assert faithfulness(declines(LABEL), 2) == DECLINED
    assert faithfulness(perfect(LABEL), 0) == NO_RETRIEVAL
    assert faithfulness(says(LABEL, "Yes."), 2) == NOTHING_CLAIMED
