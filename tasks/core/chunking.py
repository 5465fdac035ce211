"""How a document is cut into chunks: at headings first, then between paragraphs, at places the text itself chooses.

Cutting by content keeps an edit local. Whether a chunk ends after a paragraph depends on that paragraph's hash and on
how long the chunk already is, so two versions of a long text cut in step again a few paragraphs after an edit.
Overlap would make every edit touch two chunks: stored text has none, and neighbours are joined when read.
"""

from __future__ import annotations

import hashlib
import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tasks.core.documents import Chunk, Element, ElementKind
from tasks.core.releases import canonical_json


@dataclass(frozen=True, slots=True)
class ChunkSettings:
    """Lengths in characters. A change is a planned rebuild: the fingerprint is part of the pipeline's."""

    minimum: int = 400  # no cut between paragraphs before this
    target: int = 1000  # the length that cuts aim at; about 220 of MiniLM's 256 tokens
    maximum: int = 1600  # never longer, headings aside

    @property
    def fingerprint(self) -> str:
        """`cdc1` names the rules of this file: raise the number whenever the same elements would be cut otherwise."""
        return f"cdc1-{self.minimum}-{self.target}-{self.maximum}"


@dataclass(frozen=True, slots=True)
class _Unit:
    """The smallest thing that is not cut: a paragraph, or a part of one that is too long."""

    text: str
    joint: str  # what stands between the unit before and this one
    page: int | None


def cut(document: str, elements: Sequence[Element], settings: ChunkSettings | None = None) -> tuple[Chunk, ...]:
    """The chunks of a document in reading order. A heading without any text below it is a chunk of its own."""
    settings = settings or ChunkSettings()
    seen: Counter[str] = Counter()
    chunks = []
    for path, body in _sections(elements):
        for text, page in _pieces(_units(body, settings.maximum), settings):
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


def _units(body: Sequence[Element], maximum: int) -> Iterator[_Unit]:
    before: ElementKind | None = None
    for element in body:
        text = element.text.strip()
        if not text:
            continue
        is_item = element.kind == "list-item"
        joint = "\n" if is_item and before == "list-item" else "\n\n"
        for part, inner_joint in _parts(f"- {text}" if is_item else text, element.kind, maximum):
            yield _Unit(part, joint, element.page)
            joint = inner_joint
        before = element.kind


def _parts(text: str, kind: ElementKind, maximum: int) -> Iterator[tuple[str, str]]:
    """(part, what joins it to the next part of the same paragraph). Only a too long paragraph has several."""
    if len(text) <= maximum:
        yield text, "\n\n"
        return
    by_line = kind in ("table", "code")
    joint = "\n" if by_line else " "
    for sentence in text.split("\n") if by_line else re.split(r"(?<=[.!?。!?])\s+|\n+", text):
        if len(sentence) <= maximum:
            yield sentence, joint
        else:
            yield from ((piece, joint) for piece in textwrap.wrap(sentence, maximum))


def _pieces(units: Iterable[_Unit], settings: ChunkSettings) -> Iterator[tuple[str, int | None]]:
    """(text, page of its first unit)."""
    text, page = "", None
    for unit in units:
        if text and len(text) + len(unit.joint) + len(unit.text) > settings.maximum:
            yield text, page
            text = ""
        text, page = (text + unit.joint + unit.text, page) if text else (unit.text, unit.page)
        if _ends_chunk(unit.text, len(text), settings):
            yield text, page
            text = ""
    if text:
        yield text, page


def _ends_chunk(unit: str, length: int, settings: ChunkSettings) -> bool:
    """Whether the chunk ends after `unit`: by the unit's own hash, ever more readily as the target comes near."""
    if length < settings.minimum:
        return False
    units_left = max(0, settings.target - length) / max(1, len(unit))
    draw = int.from_bytes(hashlib.sha256(unit.encode()).digest()[:8], "big") / 2**64
    return draw < 1 / (1 + units_left)
