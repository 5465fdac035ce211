"""Markers: found, resolved, or taken out; and the sentence that backs an answer."""

from __future__ import annotations

import pytest

from tasks.core.answers import Passage
from tasks.core.citations import best_quote, cite, markers, sentences

PASSAGES = (
    Passage(1, "a.md", "c-1", "Pumps > Limits\nThe pump runs at 42 bar. It is red.", 0.9, 0.8),
    Passage(2, "b.md", "c-2", "Hoses\nA hose is 15 metres long.", 0.5, 0.4),
)


def test_a_marker_resolves_to_its_passage_and_best_sentence() -> None:
    cited = cite("The pump runs at 42 bar. [1]", PASSAGES)
    (citation,) = cited.citations
    assert (citation.document, citation.chunk, citation.quote, citation.score) == (
        "a.md",
        "c-1",
        "The pump runs at 42 bar.",
        0.9,
    )
    assert cited.dangling == ()


@pytest.mark.parametrize(
    ("written", "text", "cited", "dangling"),
    [
        ("Red. [1]", "Red. [1]", (1,), ()),
        ("Red. [3]", "Red.", (), (3,)),
        ("Red [9], and long. [2]", "Red, and long. [2]", (2,), (9,)),
        ("Both. [1, 2]", "Both. [1, 2]", (1, 2), ()),
        ("Both. [1,7]", "Both. [1]", (1,), (7,)),
        ("Both. [2][1] And [2]", "Both. [2][1] And [2]", (2, 1), ()),
        ("None.", "None.", (), ()),
    ],
)
def test_markers_without_a_passage_are_taken_out(
    written: str, text: str, cited: tuple[int, ...], dangling: tuple[int, ...]
) -> None:
    found = cite(written, PASSAGES)
    assert (found.text, tuple(c.marker for c in found.citations), found.dangling) == (text, cited, dangling)


def test_a_year_in_brackets_is_not_a_marker() -> None:
    assert markers("Since [1998] it is red. [1]") == (1,)


def test_the_quote_is_a_sentence_of_the_passage_and_empty_for_an_empty_one() -> None:
    assert best_quote("It is red", PASSAGES[0].text) == "It is red."
    assert best_quote("anything", "") == ""


def test_decimals_and_abbreviations_do_not_end_a_sentence() -> None:
    assert sentences("Use 2.5 kg, e.g. sand. Then stop!\nLast line") == [
        "Use 2.5 kg, e.g. sand.",
        "Then stop!",
        "Last line",
    ]
