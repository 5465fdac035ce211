"""What an answer claims: its sentences, each with the markers that stand by it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tasks.core.answers import Answer
from tasks.core.citations import markers, without_markers
from tasks.core.metrics.entailment import content
from tasks.core.metrics.matching import sentences
from tasks.core.metrics.retrieval import NO_RETRIEVAL
from tasks.core.metrics.score import DECLINED, NOTHING_CLAIMED, Undefined

_MARKERS_AFTER_THE_END = re.compile(r"([.!?][\"'”’)]*)((?:\s*\[\d{1,3}(?:\s*,\s*\d{1,3})*\])+)")


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence of an answer, and the markers in it or right after it."""

    text: str
    cites: tuple[int, ...]


def statements(text: str) -> list[Statement]:
    """The sentences that claim something: neither questions nor those without a word of content.

    >>> statements("Yes. It runs at 42 bar. [2] Is that all?")
    [Statement(text='It runs at 42 bar.', cites=(2,))]
    """
    inside = _MARKERS_AFTER_THE_END.sub(lambda found: f" {' '.join(found[2].split())}{found[1]}", text)
    # "42 bar. [2]" is now "42 bar [2]."
    found = (Statement(without_markers(one), markers(one)) for one in sentences(inside))
    return [one for one in found if not one.text.endswith("?") and content(one.text).all]


def statements_to_check(answer: Answer, k: int) -> list[Statement] | Undefined:
    """What the passages have to support, or why there is nothing to ask. k: passages the release may show.

    Declining claims nothing: what declining more often wins here, `answers` loses.
    """
    if k == 0:
        return NO_RETRIEVAL
    if answer.abstained:
        return DECLINED
    return statements(answer.text) or NOTHING_CLAIMED
