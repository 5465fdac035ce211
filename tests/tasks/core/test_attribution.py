"""A citation of the wrong passage moves to the one that holds the sentence, and no other citation moves."""

from __future__ import annotations

import pytest

from tasks.core.answers import Passage
from tasks.core.attribution import with_mended_citations

PASSAGES = (
    Passage(
        1, "a.md", "c-1", "Halden 300 > Water\nThe Halden 300 runs at up to 42 bar. It must not run dry.", 0.9, 0.8
    ),
    Passage(2, "b.md", "c-2", "Halden 300 > Frame\nThe rear drum carries 15 metres of hose.", 0.5, 0.4),
    Passage(3, "c.md", "c-3", "Halden 700 > Water\nThe Halden 700 runs at up to 60 bar.", 0.4, 0.4),
)


@pytest.mark.parametrize(
    ("written", "mended"),
    [
        ("The Halden 300 runs at up to 42 bar. [2]", "The Halden 300 runs at up to 42 bar. [1]"),
        ("The rear drum carries hose. [1]", "The rear drum carries hose. [2]"),
        (
            "It runs at up to 42 bar. [2] The drum carries 15 metres. [1]",
            "It runs at up to 42 bar. [1] The drum carries 15 metres. [2]",
        ),
        ("The rear drum carries 15 metres [1].", "The rear drum carries 15 metres [2]."),
        ("The rear drum carries 15 metres.\n[1, 3]", "The rear drum carries 15 metres.\n[2]"),
        (
            "The rear drum carries 15 metres. [1] [3] It must not run dry. [1]",
            "The rear drum carries 15 metres. [2] It must not run dry. [1]",
        ),
    ],
)
def test_a_marker_moves_to_the_passage_that_holds_the_words_before_it(written: str, mended: str) -> None:
    assert with_mended_citations(written, PASSAGES) == mended


@pytest.mark.parametrize(
    "written",
    [
        "The Halden 300 runs at up to 42 bar. [1]",
        "The rear drum carries 15 metres and it runs at up to 42 bar. [1, 2]",
        "The Halden 300 runs at up to 45 bar. [2]",  # no passage holds it
        "The Halden 300 must run dry. [2]",  # the passage that has the words denies it
        "The rear drum carries 15 metres. [9]",  # nobody knows what was meant
        "The rear drum carries 15 metres. [1, 9]",
        "The rear drum carries 15 metres.",
        "[1]",
        '{"hose": "The rear drum carries 15 metres. [1]", "sizes": [1, 2]}',
        "",
    ],
)
def test_every_other_marker_stays(written: str) -> None:
    assert with_mended_citations(written, PASSAGES) == written
