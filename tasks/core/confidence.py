"""How sure retrieval is that it found the answer, and below which confidence it is better not to answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from tasks.core.documents import Hit
from tasks.core.retrieval import words

_WORDS_OF_NO_TOPIC = (
    "a an the this that these those of to in on at by for from with without into over under and or not is are was were "
    "be been do does did has have had can could may might must should will would what which who whom whose when where "
    "why how many much long often it its they their there one you your i we our if than then as up out about"
)
_FUNCTION_WORDS = frozenset(_WORDS_OF_NO_TOPIC.split())
_ENDING = re.compile(r"(?:ing|ed|es|e|s)$")


def confidence(question: str, hits: Sequence[Hit]) -> float:
    """0 to 1: of the best passage, the mean of its similarity and the share of the question's content words it holds.

    Similarity alone rates a page about the right machine high whatever is asked of it; the words say whether the page
    speaks of what is asked.
    """
    asked = _stems(question)
    return max((_passage_confidence(asked, hit) for hit in hits), default=0.0)


def calibrate(
    answerable: Sequence[float], unanswerable: Sequence[float], max_false_abstention: float = 0.1
) -> float | None:
    """The confidence below which abstaining pays, or None when it does not.

    Chosen on validation labels: among the thresholds below which at most `max_false_abstention` of the answerable
    questions lie, the one with the largest lead of unanswerable over answerable questions refused (Youden's index).
    It is as good as the labels are many: of n answerable questions, none below it means a true rate under 3/n, nineteen
    times in twenty. With fewer than 1 / max_false_abstention answerable ones, none of them may be lost.

    >>> calibrate([0.75, 0.8, 0.9], [0.125, 0.25, 0.85])
    0.5
    >>> calibrate([0.6, 0.7], [0.8]) is None
    True
    """
    values = sorted({*answerable, *unanswerable})
    cuts = [(low + high) / 2 for low, high in pairwise(values)]
    allowed = [cut for cut in cuts if _share_below(cut, answerable) <= max_false_abstention]
    best = max(allowed, key=lambda cut: (_lead(cut, answerable, unanswerable), -cut), default=None)
    return best if best is not None and _lead(best, answerable, unanswerable) > 0 else None


def _passage_confidence(asked: set[str], hit: Hit) -> float:
    covered = len(asked & _stems(hit.chunk.embedded_text)) / len(asked) if asked else 0.0
    return (min(max(hit.similarity, 0.0), 1.0) + covered) / 2


def _stems(text: str) -> set[str]:
    return {_stem(word) for word in words(text) if word not in _FUNCTION_WORDS}


def _stem(word: str) -> str:
    """Crude, and the same on both sides: heats, heated and heating meet."""
    return _ENDING.sub("", word) if len(word) > 3 else word


def _share_below(cut: float, values: Sequence[float]) -> float:
    return sum(value < cut for value in values) / len(values) if values else 0.0


def _lead(cut: float, answerable: Sequence[float], unanswerable: Sequence[float]) -> float:
    return _share_below(cut, unanswerable) - _share_below(cut, answerable)
