"""How a document is cut into chunks: at headings first, then between paragraphs, at places the text itself chooses.

Cutting by content keeps an edit local. Of all the places where a chunk of a good length may end, it ends at the one
whose surroundings have the smallest hash, so two versions of a long text cut in step again a few paragraphs after an
edit, and a text that repeats itself is cut at the same place of every repetition. Overlap would make every edit touch
two chunks: stored text has none, and neighbours are joined when read. The header of a long table is the exception,
since its rows cannot be understood without.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from tasks.core.documents import Chunk, Element
from tasks.core.releases import canonical_json
from tasks.core.text_units import BETWEEN_ELEMENTS, Unit, units_of

CONTEXT = 64  # characters before a place that decide whether a chunk ends there; one word alone tells little


@dataclass(frozen=True, slots=True)
class ChunkSettings:
    """Lengths in characters. A change is a planned rebuild: the fingerprint is part of the pipeline's."""

    minimum: int = 400  # no cut between paragraphs before this
    target: int = 1000  # the length that cuts aim at; about 220 of MiniLM's 256 tokens
    maximum: int = 1600  # never longer, headings aside

    @property
    def fingerprint(self) -> str:
        """`cdc2` names the rules of this file: raise the number whenever the same elements would be cut otherwise."""
        return f"cdc2-{self.minimum}-{self.target}-{self.maximum}"


def cut(document: str, elements: Sequence[Element], settings: ChunkSettings | None = None) -> tuple[Chunk, ...]:
    """The chunks of a document in reading order. A heading without any text below it is a chunk of its own."""
    settings = settings or ChunkSettings()
    seen: Counter[str] = Counter()
    chunks = []
    for path, body in _sections(elements):
        for text, page in _pieces(units_of(body, settings.maximum), settings):
            identity = canonical_json([document, path, text, page])
            chunks.append(Chunk(_chunk_id(identity, seen[identity]), document, path, text, page))
            seen[identity] += 1
    return tuple(chunks)


def _chunk_id(identity: str, occurrence: int) -> str:
    return hashlib.sha256(f"{occurrence}\n{identity}".encode()).hexdigest()[:32]


def _sections(elements: Sequence[Element]) -> Iterator[tuple[tuple[str, ...], list[Element]]]:
    """(heading path, what stands below it before the next heading)."""
    open_headings: list[Element] = []
    body: list[Element] = []
    for element in elements:
        if element.kind != "heading":
            body.append(element)
            continue
        if body:
            yield _path(open_headings), body
        elif open_headings and element.level <= open_headings[-1].level:
            yield _path(open_headings[:-1]), open_headings[-1:]
        while open_headings and open_headings[-1].level >= element.level:
            open_headings.pop()
        open_headings.append(element)
        body = []
    if body:
        yield _path(open_headings), body
    elif open_headings:
        yield _path(open_headings[:-1]), open_headings[-1:]


def _path(headings: Iterable[Element]) -> tuple[str, ...]:
    return tuple(" ".join(heading.text.split()) for heading in headings)


def _pieces(units: Sequence[Unit], settings: ChunkSettings) -> Iterator[tuple[str, int | None]]:
    """(text, page of its first unit)."""
    draws = _draws(units)
    start = 0
    while start < len(units):
        end = _end(units, draws, start, settings)
        yield _joined(units[start:end]), units[start].page
        start = end


def _draws(units: Sequence[Unit]) -> list[tuple[int, bytes]]:
    """How good a place for a cut is after every unit: less is better. Between equals, the text around draws the lot."""
    draws, before = [], ""
    for unit, after in zip_longest(units, units[1:]):
        before = unit.text if len(unit.text) >= CONTEXT else f"{before}\n{unit.text}"[-CONTEXT:]
        surroundings = f"{before}\n{after.text if after else ''}".encode("utf-8", "surrogatepass")
        lot = hashlib.blake2b(surroundings, digest_size=8).digest()
        draws.append((after.rank if after else BETWEEN_ELEMENTS, lot))
    return draws


def _end(units: Sequence[Unit], draws: Sequence[tuple[int, bytes]], start: int, settings: ChunkSettings) -> int:
    """Where the chunk that begins with units[start] ends: at the best draw between the minimum and twice the target."""
    longest = min(settings.maximum, 2 * settings.target - settings.minimum)
    length = len(_opening(units[start]))
    places = []
    end = start + 1
    while True:
        if length >= settings.minimum:
            places.append((draws[end - 1], abs(length - settings.target), end))
        if end == len(units):
            return end if length <= settings.target else min(places)[2]
        length += len(units[end].joint) + len(units[end].text)
        if length > longest:
            return min(places)[2] if places else end
        end += 1


def _joined(units: Sequence[Unit]) -> str:
    return _opening(units[0]) + "".join(unit.joint + unit.text for unit in units[1:])


def _opening(unit: Unit) -> str:
    return f"{unit.header}\n{unit.text}" if unit.header else unit.text
