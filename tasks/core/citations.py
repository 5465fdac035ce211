"""Which passages an answer cites: markers found, resolved against what was shown, and the sentence that backs them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tasks.core.answers import Citation, Passage
from tasks.core.retrieval import words

_MARKERS = re.compile(r"\s*\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]")
_SENTENCE_BREAK = re.compile(r"(?<=[.!?])\s+(?=[^\W\d_a-z]|\d|[\"'“(\[])|\n+")


@dataclass(frozen=True, slots=True)
class Cited:
    """A text whose every marker resolves. dangling: markers that were taken out because no passage has them."""

    text: str
    citations: tuple[Citation, ...]
    dangling: tuple[int, ...]


def markers(text: str) -> tuple[int, ...]:
    """The markers in a text, each once, in order.

    >>> markers("It runs at 42 bar. [2] Water must be cold. [1, 2]")
    (2, 1)
    """
    return tuple(dict.fromkeys(number for found in _MARKERS.finditer(text) for number in _numbers(found)))


def without_markers(text: str) -> str:
    """The text alone.

    >>> without_markers("It runs at 42 bar. [2]")
    'It runs at 42 bar.'
    """
    return _MARKERS.sub("", text).strip()


def cite(text: str, passages: Sequence[Passage]) -> Cited:
    """Resolves markers against the passages shown for this very question; the others are dangling and taken out."""
    shown = {passage.marker: passage for passage in passages}
    found = markers(text)
    said = without_markers(text)
    return Cited(
        text=_MARKERS.sub(lambda marker: _resolved(marker, shown), text).strip(),
        citations=tuple(_citation(shown[number], said) for number in found if number in shown),
        dangling=tuple(number for number in found if number not in shown),
    )


def best_quote(answer: str, passage: str) -> str:
    """The sentence of the passage that shares most words with the answer; among equals the shorter, then the first."""
    wanted = set(words(answer))
    return max(sentences(passage), key=lambda one: (len(wanted & set(words(one))), -len(one)), default="")


def sentences(text: str) -> list[str]:
    """A text cut after full stops, question and exclamation marks, and at line breaks.

    >>> sentences("It weighs 2.5 kg. Two people lift it, e.g. by crane.")
    ['It weighs 2.5 kg.', 'Two people lift it, e.g. by crane.']
    """
    return [part for part in (part.strip() for part in _SENTENCE_BREAK.split(text)) if part]


def _numbers(found: re.Match[str]) -> Iterator[int]:
    return (int(number) for number in found[1].split(","))


def _resolved(found: re.Match[str], shown: Mapping[int, Passage]) -> str:
    kept = [str(number) for number in _numbers(found) if number in shown]
    if not kept:
        return ""
    space = found[0][: found[0].index("[")]
    return f"{space}[{', '.join(kept)}]"


def _citation(passage: Passage, answer: str) -> Citation:
    return Citation(
        marker=passage.marker,
        document=passage.document,
        chunk=passage.chunk,
        quote=best_quote(answer, passage.text),
        score=passage.score,
    )
