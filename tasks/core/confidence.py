"""How sure retrieval is that it found the answer, and below which confidence it is better not to answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt

from tasks.core.citations import sentences
from tasks.core.documents import Chunk, Hit
from tasks.core.retrieval import words
from tasks.core.text_units import header_row

READ = 4
NEARLY = 0.75
"""Sentences compared with a question: at most `READ`, those that hold most of its words or nearly as many as the best.
All of a passage's sentences told no more, and each costs an embedding while somebody waits."""

_WORDS_OF_NO_TOPIC = (
    "a an the this that these those of to in on at by for from with without into over under and or not is are was were "
    "be been do does did has have had can could may might must should will would what which who whom whose when where "
    "why how many much long often it its they their there one you your i we our if than then as up out about"
)
_FUNCTION_WORDS = frozenset(_WORDS_OF_NO_TOPIC.split())
_ENDING = re.compile(r"(?:ing|ed|es|e|s)$")


@dataclass(frozen=True, slots=True)
class Telling:
    """A sentence that may hold the answer. covered: share of the question's content words in it and its headings."""

    text: str
    covered: float


def telling_sentences(question: str, hits: Sequence[Hit]) -> tuple[Telling, ...]:
    """The few sentences of the passages, neighbours included, that hold most of the question's content words.

    At most `READ`, each with at least `NEARLY` times the words of the first; among equals as they were found. A row of
    a table is read below the names of its columns.
    """
    asked = _stems(question)
    chunks = [chunk for hit in hits for chunk in (hit.chunk, *hit.before, *hit.after)]
    found = dict.fromkeys(
        Telling(text, _covered(asked, "\n".join((*chunk.heading_path, text))))
        for chunk in chunks
        for text in _sentences(chunk)
    )
    most = max((one.covered for one in found), default=0.0)
    near = sorted((one for one in found if one.covered >= NEARLY * most), key=lambda one: -one.covered)
    return tuple(near[:READ]) if most else ()


def sentence_confidence(told: Sequence[Telling], similarities: Sequence[float]) -> float:
    """0 to 1: of the best sentence, √(similarity · covered).

    similarities: cosine of each sentence with the question. A passage's vector is a mean in which the one sentence that
    answers is lost, and its words come from sentences about other things; one sentence has to be near and to hold the
    words. As a geometric mean it needs both, and has no weight to choose.
    """
    both = zip(told, similarities, strict=True)
    return max((sqrt(_within(similarity) * one.covered) for one, similarity in both), default=0.0)


def passage_confidence(question: str, hits: Sequence[Hit]) -> float:
    """0 to 1: of the best passage, the mean of its similarity and the share of the question's content words it holds.

    How releases measured it before there was `sentence_confidence`, and those that never abstain by it.
    """
    asked = _stems(question)
    return max(((_within(hit.similarity) + _covered(asked, hit.chunk.embedded_text)) / 2 for hit in hits), default=0.0)


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


def _sentences(chunk: Chunk) -> Iterator[str]:
    for block in chunk.text.split("\n\n"):
        names = header_row(block, len(block))
        for one in sentences(block):
            yield f"{names}\n{one}" if names and " | " in one and one != names else one


def _covered(asked: set[str], text: str) -> float:
    return len(asked & _stems(text)) / len(asked) if asked else 0.0


def _within(similarity: float) -> float:
    return min(max(similarity, 0.0), 1.0)


def _stems(text: str) -> set[str]:
    return {_stem(word) for word in words(text) if word not in _FUNCTION_WORDS}


def _stem(word: str) -> str:
    """Crude, and the same on both sides: heats, heated and heating meet."""
    return _ENDING.sub("", word) if len(word) > 3 else word


def _share_below(cut: float, values: Sequence[float]) -> float:
    return sum(value < cut for value in values) / len(values) if values else 0.0


def _lead(cut: float, answerable: Sequence[float], unanswerable: Sequence[float]) -> float:
    return _share_below(cut, unanswerable) - _share_below(cut, answerable)
