"""Whether a passage holds what an answer claims: every number and every capitalised name of it.

A small model that misreads invents a figure or mixes two machines; both show here. What does not show: a wrong word
that is neither ("steel" for "titanium"), a negation, or the right number beside the wrong thing. In languages that
capitalise all nouns the check is stricter than meant.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tasks.core.citations import sentences, without_markers

_NUMBER = re.compile(r"\d+(?:[.,'\u2019\u00a0\u202f]\d+)*")
_THOUSANDS = re.compile(r"(?<=\d)[,'\u2019\u00a0\u202f](?=\d{3}(?!\d))")
_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W_]+(?:['\u2019][^\W_]+)*")
_WRITTEN = "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
NUMERAL = {word: str(value) for value, word in enumerate(_WRITTEN.split(), start=2)}
_BEGINNERS = (
    "a an the this that these those it its they their he she his her you your we our i in on at to for from of by with "
    "and or but if when while before after each every all any no not yes only do does there as is are"
)
_NEVER_NAMES = frozenset(_BEGINNERS.split())


@dataclass(frozen=True, slots=True)
class Support:
    """Whether a passage supports an answer, and why not. missing: what the answer says and the passage does not."""

    supported: bool
    reason: str
    missing: tuple[str, ...] = ()


def supported(answer: str, passage: str) -> Support:
    """Looks for the answer's numbers and names in the passage.

    >>> supported("It runs at 45 bar.", "The pump runs at up to 42 bar.").reason
    'the passage does not hold: 45'
    >>> supported("It makes 1,900 turns in five minutes.", "1900 turns per 5-minute cycle").supported
    True
    """
    said = without_markers(answer)
    held, there = numbers(passage), {_plain(word) for word in _WORD.findall(passage)}
    missing = [number for number in sorted(numbers(said), key=said.find) if number not in held]
    missing += [name for name in names(said) if _plain(name) not in there]
    if missing:
        return Support(False, f"the passage does not hold: {', '.join(missing)}", tuple(missing))
    return Support(True, "every number and name of the answer stands in the passage")


def numbers(text: str) -> set[str]:
    """The numbers of a text in one spelling, with "two" to "sixteen" as figures. "one" is mostly not a number.

    >>> sorted(numbers("A 42-bar pump, 1,900 or 2.50 kg, in four parts"))
    ['1900', '2.5', '4', '42']
    """
    figures = {_figure(found[0]) for found in _NUMBER.finditer(text)}
    return figures | {NUMERAL[word] for word in map(str.lower, _WORD.findall(text)) if word in NUMERAL}


def names(text: str) -> list[str]:
    """Capitalised words, each once. One that begins a sentence counts only when a name or a number follows it.

    >>> names("Halden 300 hoses come from Aldmoor. Store them dry.")
    ['Halden', 'Aldmoor']
    """
    found = [name for sentence in sentences(text) for name in _names_of(_WORD.findall(sentence))]
    return list(dict.fromkeys(found))


def _names_of(sentence: list[str]) -> list[str]:
    capital = [word[0].isupper() and word.lower() not in _NEVER_NAMES for word in sentence]
    telling = [one or word[0].isdigit() for one, word in zip(capital, sentence, strict=True)]
    return [word for at, word in enumerate(sentence) if capital[at] and (at > 0 or any(telling[1:2]))]


def _plain(word: str) -> str:
    """Without case, possessive and plural: close enough to tell one name from another."""
    return re.sub(r"['\u2019]s?$", "", word.lower()).rstrip("s")


def _figure(number: str) -> str:
    """1,900 is 1900; 2,5 and 2.50 are 2.5."""
    plain = _THOUSANDS.sub("", number).replace(",", ".")
    return plain.rstrip("0").rstrip(".") if plain.count(".") == 1 else plain
