"""Whether two questions ask the same thing in nearly the same words.

Similar letters alone are not enough: "maximum" and "minimum" are similar. Numbers, names, negations and symbols have to
be equal and in the same order; the rest may be typed anew (`rewordings.py`): a phrase moved, a small word or an ending
changed, a word misspelt. Known limit: a paraphrase in other words is another question.

The search is exact: whatever is the same shares a key that is looked up. MinHash would estimate candidates,
and one that it misses would be a leak into the golden set (`benchmarks/near_duplicates.py` counts those it misses).
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from tasks.core.rewordings import Phrasing, keys, phrasing, reworded, spellings

_WORD = re.compile(r"(?<!\w)[-+]?\d+(?:[.,]\d+)*(?!\w)|\w+|[^\w\s.,;:!?\"()\[\]{}/…`\-–—]")
_ARTICLES = frozenset({"a", "an", "the"})
_NEGATION_WORDS = """
    no not never neither nor none without cannot except unless dont doesnt didnt isnt arent wasnt werent
    cant couldnt shouldnt wont wouldnt hasnt havent hadnt mustnt"""
_NEGATIONS = frozenset(_NEGATION_WORDS.split())
_OPENING_WORDS = """
    what whats which who whos whom whose when where wheres why how is are was were do does did can could
    should would will may must has have had in on at for from to of with by after before during if and or please tell"""
_OPENERS = frozenset(_OPENING_WORDS.split())  # written with a capital because they open a sentence, not as names


@dataclass(frozen=True, slots=True)
class Wording:
    """A question as it is compared."""

    words: tuple[str, ...]  # case-folded, articles dropped
    names: frozenset[str]  # words written like a name
    phrasing: Phrasing  # what has to be left when it is typed anew


def wording(text: str) -> Wording:
    """The comparable form of a question. Case, punctuation, articles and white space do not matter.

    Nor does what nobody sees, as soft hyphens out of a web page: it would part a word in two.

    >>> wording("Is the  Halden 300 hot?").words
    ('is', 'halden', '300', 'hot')
    """
    seen = text if text.isascii() else "".join(c for c in text if unicodedata.category(c) != "Cf")
    plain = unicodedata.normalize("NFKC", seen).replace("’", "").replace("'", "").replace("−", "-")
    found = enumerate(_WORD.findall(plain))
    written = [word for n, word in found if (word if n else word.casefold()) not in _ARTICLES]  # "valve A" is a name
    words = tuple(word.casefold() for word in written)
    named = frozenset(low for low, word in zip(words, written, strict=True) if word != low and low not in _OPENERS)
    return Wording(words, named, phrasing(words))


def same_question(a: Wording, b: Wording) -> bool:
    """The same words, or the same question typed anew; every number, name, negation and symbol equal, in order.

    >>> same_question(wording("How hot does the Halden 300 run?"), wording("how hot does Halden 300 run"))
    True
    >>> same_question(wording("How hot does the Halden 300 run?"), wording("How hot does the Halden 500 run?"))
    False
    """
    if a.words == b.words:
        return True
    names = a.names | b.names
    return reworded(a.phrasing, b.phrasing) and _telling(a, names) == _telling(b, names)


def same_question_pairs(questions: Sequence[Wording]) -> Iterator[tuple[int, int]]:
    """Every pair (i, j), i < j, of questions that are the same, once; equal to comparing each with each."""
    seen: set[tuple[int, int]] = set()
    for together in _candidates(questions):
        for pair in combinations(together, 2):
            if pair not in seen:
                seen.add(pair)
                if same_question(questions[pair[0]], questions[pair[1]]):
                    yield pair


def _candidates(questions: Sequence[Wording]) -> Iterator[list[int]]:
    """Positions, ascending, among which same questions are; where a word was left out, those that share a spelling."""
    written: dict[tuple[str, ...], list[int]] = defaultdict(list)
    alike: dict[tuple[str, ...], list[tuple[int, str]]] = defaultdict(list)
    for position, question in enumerate(questions):
        written[question.words].append(position)
        for key, left_out in keys(question.phrasing):
            alike[key].append((position, left_out))
    yield from written.values()
    for found in alike.values():
        if len(found) == 1:
            continue
        spelt: dict[str, dict[int, None]] = defaultdict(dict)
        for position, left_out in found:
            for spelling in spellings(left_out):
                spelt[spelling][position] = None
        yield from (list(positions) for positions in spelt.values())


def _telling(question: Wording, names: frozenset[str]) -> list[str]:
    """What no rewording may change, in order."""
    return [word for word in question.phrasing.words if word in names or telling(word)]


def telling(word: str) -> bool:
    """Whether another word in its place makes it another question: a number, a negation, a letter or symbol."""
    return len(word) == 1 or word in _NEGATIONS or any(c.isdigit() for c in word)
