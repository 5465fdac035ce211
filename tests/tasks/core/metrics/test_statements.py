"""What an answer claims, and which markers stand by it."""

from dataclasses import replace

import pytest
from evaluation_fakes import declines, golden_label, says

from tasks.core.metrics.retrieval import NO_RETRIEVAL
from tasks.core.metrics.score import DECLINED, NOTHING_CLAIMED
from tasks.core.metrics.statements import Statement, statements, statements_to_check

LABEL = golden_label(1)


@pytest.mark.parametrize(
    ("text", "cites"),
    [
        ("It runs at 42 bar. [1] It is blue. [2][3]", [(1,), (2, 3)]),
        ("It runs at 42 bar [1]. It is blue [2, 3].", [(1,), (2, 3)]),
        ("It runs at 42 bar [1] and [2] is blue.", [(1, 2)]),
        ("It runs at 42 bar.\n[1]\nIt is blue.", [(1,), ()]),
        ("[1] It runs at 42 bar.", [(1,)]),
        ("“It runs at 42 bar.” [1] It is blue.", [(1,), ()]),
        ("It runs at 42 bar. It is blue.", [(), ()]),
    ],
)
def test_a_marker_belongs_to_the_sentence_it_stands_in_or_right_after(text: str, cites: list[tuple[int, ...]]) -> None:
    assert [one.cites for one in statements(text)] == cites


def test_a_sentence_is_read_without_its_markers() -> None:
    assert statements("It runs at 42 bar. [1]") == [Statement("It runs at 42 bar.", (1,))]


@pytest.mark.parametrize("text", ["", "Yes.", "[1]", "No. [2]", "Is it blue?", "🙂", "..."])
def test_what_claims_nothing_is_no_statement(text: str) -> None:
    assert statements(text) == []
    assert statements_to_check(replace(says(LABEL, ""), text=text), 2) == NOTHING_CLAIMED


def test_declining_claims_nothing_and_without_passages_nothing_can_be_asked() -> None:
    assert statements_to_check(declines(LABEL), 2) == DECLINED
    assert statements_to_check(says(LABEL, "It is blue."), 0) == NO_RETRIEVAL
