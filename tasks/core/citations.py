"""Which passages an answer cites: markers found, resolved against what was shown, and the sentence that backs them.

In an answer that is a JSON object `[1, 2]` is a list, so only its strings cite.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

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
    made = json_object(text)
    said = text if made is None else "\n".join(_strings(made))
    return tuple(dict.fromkeys(number for found in _MARKERS.finditer(said) for number in _numbers(found)))


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
    dangling = tuple(number for number in found if number not in shown)
    return Cited(
        text=_rewritten(text, lambda part: _MARKERS.sub(lambda marker: _resolved(marker, shown), part), bool(dangling)),
        citations=tuple(_citation(shown[number], said) for number in found if number in shown),
        dangling=dangling,
    )


def json_object(text: str) -> dict[str, JsonValue] | None:
    """The object that the whole text is; None for prose.

    >>> json_object('{"sizes": [1, 2]}'), json_object("[1, 2]"), json_object("It is {1}.")
    ({'sizes': [1, 2]}, None, None)
    """
    if not text.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(text)
        list(_strings(found))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _strings(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)


def _rewritten(text: str, change: Callable[[str], str], something_dangles: bool) -> str:
    """The text with its markers resolved. An object stays letter by letter as it is where nothing has to go."""
    made = json_object(text)
    if made is None:
        return change(text).strip()
    return json.dumps(_changed(made, change), ensure_ascii=False) if something_dangles else text.strip()


def _changed(value: JsonValue, change: Callable[[str], str]) -> JsonValue:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {name: _changed(part, change) for name, part in value.items()}
    return [_changed(part, change) for part in value] if isinstance(value, list) else value


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
