"""What a chunk is never cut inside of: paragraphs, and the rows, sentences, words or runs of one that is too long.

Nothing here counts from the start of the text. Where a paragraph is divided depends on the characters at that place, in
any script, so that what follows an insertion is divided as before.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tasks.core.documents import Element

BETWEEN_ELEMENTS, BETWEEN_SENTENCES, BETWEEN_WORDS, INSIDE_A_WORD = range(4)

# Western and Arabic marks need a space after them, and do not count after a single letter (z. B., J. Smith); the
# marks of Chinese and Japanese stand alone. Closing quotes and brackets belong to the sentence.
_SENTENCE_END = re.compile(r"""(?:(?<!\b[^\W\d_])[.!?…؟۔।॥։።]["'»”’)\]]*(?=\s)|[。！？｡]["'」』”’）〉》】]*|\n)\s*""")
_WORD = re.compile(r"\S+\s*")
_NUMBER = re.compile(r"[.,:/%€$£+\-\s]*\d[\d.,:/%€$£+\-\s]*")
_ROWS_LOOKED_AT = 50
_CONTEXT = 16  # characters before a place that decide whether a word without end is divided there


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of text that stays whole. `rank` says what kind of place stands before it, the best being 0."""

    text: str
    joint: str  # what stands between the unit before and this one
    rank: int
    page: int | None = None
    header: str = ""  # the row to repeat when a chunk begins here, in the middle of a table


def units_of(body: Sequence[Element], maximum: int) -> list[Unit]:
    """The units of the elements below one heading, none longer than `maximum` characters, header included."""
    units: list[Unit] = []
    before = ""
    for element in body:
        is_item = element.kind == "list-item"
        text = element.text.strip()
        if not text:
            continue
        joint = "\n" if is_item and before == "list-item" else "\n\n"
        units += _element_units(element, f"- {text}" if is_item else text, joint, maximum)
        before = element.kind
    return units


def _element_units(element: Element, text: str, joint: str, maximum: int) -> Iterator[Unit]:
    if len(text) <= maximum:
        yield Unit(text, joint, BETWEEN_ELEMENTS, element.page)
        return
    header = header_row(text, maximum // 4) if element.kind == "table" else ""
    by_line = element.kind in ("table", "code")
    room = maximum - len(header) - 1 if header else maximum
    for number, (part, inner_joint, rank) in enumerate(_parts(text, by_line, room)):
        is_first = number == 0
        yield Unit(
            part,
            joint if is_first else inner_joint,
            BETWEEN_ELEMENTS if is_first else rank,
            element.page,
            "" if is_first else header,
        )


def header_row(table: str, longest: int) -> str:
    """The first row when it names the columns; "" when it is data, or longer than `longest`.

    Names are never numbers, nor found again below. Where they hold digits (H300, Q1 2024), a column of numbers below
    tells them from data.

    >>> header_row("Part | Bar\\nH300 | 42\\nH400 | 50", 400)
    'Part | Bar'
    >>> header_row("H300 | 42\\nH400 | 50", 400)
    ''
    """
    first, *rest = table.split("\n")
    names = _cells(first)
    body = [_cells(row) for row in rest[:_ROWS_LOOKED_AT]]
    if not body or len(first) > longest or not all(names) or len(set(names)) < len(names):
        return ""
    if any(_NUMBER.fullmatch(name) or any(row[n : n + 1] == [name] for row in body) for n, name in enumerate(names)):
        return ""
    is_above_numbers = any(_is_mostly_numbers([row[n] for row in body if n < len(row)]) for n in range(len(names)))
    return first if is_above_numbers or not any(character.isdigit() for character in first) else ""


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.split("|")]


def _is_mostly_numbers(cells: Sequence[str]) -> bool:
    return 2 * sum(_NUMBER.fullmatch(cell) is not None for cell in cells) > len(cells)


def _parts(text: str, by_line: bool, longest: int) -> Iterator[tuple[str, str, int]]:
    """(part, what stands before it, rank): lines or sentences, divided further where one is too long."""
    joint, rank = "", BETWEEN_SENTENCES
    for sentence, space in _lines(text) if by_line else _sentences(text):
        for part, inner_joint, inner_rank in _fitting(sentence, longest):
            yield part, inner_joint if inner_rank else joint, inner_rank or rank
        joint = space


def _lines(text: str) -> Iterator[tuple[str, str]]:
    return ((line.rstrip(), "\n") for line in text.split("\n") if line.strip())


def _sentences(text: str) -> Iterator[tuple[str, str]]:
    """(sentence, the space after it, as one character or none)."""
    start = 0
    for end in (*(match.end() for match in _SENTENCE_END.finditer(text)), len(text)):
        sentence = text[start:end].rstrip()
        if sentence:
            yield sentence, _space(text[start + len(sentence) : end])
        start = end


def _fitting(sentence: str, longest: int) -> Iterator[tuple[str, str, int]]:
    """The sentence, or its words, or runs of characters of a word without end. Rank 0 marks the first."""
    if len(sentence) <= longest:
        yield sentence, "", 0
        return
    rank, joint = 0, ""
    for match in _WORD.finditer(sentence):
        word = match.group().rstrip()
        for run in _runs(word, max(1, longest // 4)):
            yield run, joint, rank
            rank, joint = INSIDE_A_WORD, ""
        rank, joint = BETWEEN_WORDS, _space(match.group()[len(word) :])


def _space(space: str) -> str:
    return "\n" if "\n" in space else " " if space else ""


def _runs(word: str, longest: int) -> Iterator[str]:
    """A word that is too long, divided where the characters before a place have the smallest checksum around."""
    code_points = word.encode("utf-32-le", "surrogatepass")  # four bytes each

    def checksum(place: int) -> int:
        return zlib.crc32(code_points[4 * max(0, place - _CONTEXT) : 4 * place])

    start = 0
    while len(word) - start > longest:
        places = range(start + max(1, longest // 4), start + longest + 1)
        end = min(places, key=checksum)
        if _breaks_character(word, end):
            end = min((place for place in places if not _breaks_character(word, place)), key=checksum, default=end)
        yield word[start:end]
        start = end
    yield word[start:]


def _breaks_character(word: str, place: int) -> bool:
    """Whether one character as people see it would be torn: a vowel sign, an accent, a joined emoji."""
    return unicodedata.category(word[place])[0] == "M" or "\u200d" in word[place - 1 : place + 1]
