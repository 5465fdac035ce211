"""What becomes of a model's text."""

from __future__ import annotations

import pytest

from tasks.core.answers import AbstainedBecause, Passage
from tasks.core.replies import Reply, says, settle

ABSTENTION = "The documents do not say."
PASSAGES = (
    Passage(1, "a.md", "c-1", "The pump runs at 42 bar.", 0.9, 0.8),
    Passage(2, "b.md", "c-2", "A hose is 15 metres long.", 0.5, 0.4),
)


def settled(raw: str, *, require_support: bool = True, cut_short: bool = False) -> Reply:
    return settle(raw, PASSAGES, abstention=ABSTENTION, require_support=require_support, cut_short=cut_short)


@pytest.mark.parametrize(
    ("raw", "text", "because"),
    [
        ("It runs at 42 bar. [1]", "It runs at 42 bar. [1]", None),
        ("It runs at 42 bar. [2]", ABSTENTION, "support"),
        ("It runs at 42 bar with 15 metres. [1, 2]", "It runs at 42 bar with 15 metres. [1, 2]", None),
        ("It runs at 42 bar.", "It runs at 42 bar.", None),
        ("It runs at 42 bar with 15 metres.", ABSTENTION, "support"),
        ("the documents do not say [1]", ABSTENTION, "model"),
        ("", ABSTENTION, "model"),
        ("It is red. It is red. It is red.", "It is red.", None),
        ("It is red. [1] It is long. It is red. [1]", "It is red. [1] It is long.", None),
    ],
)
def test_a_text_is_kept_or_withdrawn(raw: str, text: str, because: AbstainedBecause | None) -> None:
    reply = settled(raw)
    assert (reply.text, reply.because) == (text, because)


def test_without_required_support_a_wrong_number_is_said() -> None:
    assert settled("It runs at 45 bar. [1]", require_support=False).because is None


def test_an_answer_whose_marker_names_the_wrong_passage_is_said_with_the_right_one() -> None:
    reply = settle("It runs at 42 bar. [2]", PASSAGES, abstention=ABSTENTION, require_support=True, mend_citations=True)
    assert (reply.text, reply.because) == ("It runs at 42 bar. [1]", None)
    assert [(one.marker, one.document, one.quote) for one in reply.citations] == [
        (1, "a.md", "The pump runs at 42 bar.")
    ]


def test_an_answer_that_no_passage_holds_is_withdrawn_though_citations_are_mended() -> None:
    reply = settle("It runs at 45 bar. [2]", PASSAGES, abstention=ABSTENTION, require_support=True, mend_citations=True)
    assert (reply.text, reply.because) == (ABSTENTION, "support")


def test_a_json_object_stays_as_it_was_written() -> None:
    pretty = '{\n  "sizes": [1, 2],\n  "a": {\n    "bar": 42\n  },\n  "b": {\n    "bar": 42\n  }\n}'
    reply = settled(pretty)
    assert (reply.text, reply.citations, reply.dangling) == (pretty, (), ())


def test_the_strings_of_a_json_object_cite_and_what_dangles_in_them_is_taken_out() -> None:
    reply = settled('{"pressure": "42 bar [1]", "sizes": [1, 7]}')
    assert reply.text == '{"pressure": "42 bar [1]", "sizes": [1, 7]}'
    assert [citation.marker for citation in reply.citations] == [1]
    lost = settled('{"pressure": "42 bar [1, 7]", "sizes": [1, 7]}')
    assert (lost.text, lost.dangling) == ('{"pressure": "42 bar [1]", "sizes": [1, 7]}', (7,))


def test_an_abstention_cites_nothing() -> None:
    assert settled("It runs at 45 bar. [1]").citations == ()


def test_only_a_text_cut_short_loses_its_tail() -> None:
    assert settled("It is red. [1] And th", cut_short=True).text == "It is red. [1]"
    assert settled("It is red. [1] And th").text == "It is red. [1] And th"
    assert settled("It is endless and", cut_short=True).text == "It is endless and"


def test_the_abstention_inside_a_longer_text_is_not_an_abstention() -> None:
    assert not says(ABSTENTION, "The documents do not say. But it is 42.")
