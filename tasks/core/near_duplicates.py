"""Whether two questions ask the same thing in nearly the same words.

Similar letters alone are not enough: "maximum" and "minimum" are similar. Numbers, names, negations and symbols have to
be equal; other words may differ by an ending -s ("tank", "tanks") or when they carry no meaning of their own ("what",
"which"); the order of words is compared by Jaccard similarity of 4-letter pieces. Known limit: a paraphrase, or another
inflection, is another question.

The search is exact: the same question has the same set of stems, so only questions that share it are compared. MinHash
would estimate candidates, and one that it misses would be a leak into the golden set.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

SIMILAR = 0.9
SHINGLE = 4

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
_FILLERS = frozenset(["what", "whats", "which", "is", "are", "do", "does", "of", "please", "tell", "me"])


@dataclass(frozen=True, slots=True)
class Wording:
    """A question as it is compared."""

    words: tuple[str, ...]  # case-folded, articles dropped
    names: frozenset[str]  # words written like a name
    stems: frozenset[str]  # of words that carry meaning
    shingles: frozenset[str]  # pieces of those stems, in order


def wording(text: str) -> Wording:
    """The comparable form of a question. Case, punctuation, articles and white space do not matter.

    >>> wording("Is the  Halden 300 hot?").words
    ('is', 'halden', '300', 'hot')
    """
    plain = unicodedata.normalize("NFKC", text).replace("’", "").replace("'", "").replace("−", "-")
    found = enumerate(_WORD.findall(plain))
    written = [word for n, word in found if (word if n else word.casefold()) not in _ARTICLES]  # "valve A" is a name
    words = tuple(word.casefold() for word in written)
    named = frozenset(low for low, word in zip(words, written, strict=True) if word != low and low not in _OPENERS)
    stems = [_stem(word) for word in words if word not in _FILLERS]
    line = f" {' '.join(stems)} "
    pieces = frozenset(line[i : i + SHINGLE] for i in range(max(1, len(line) - SHINGLE + 1)))
    return Wording(words, named, frozenset(stems), pieces)


def same_question(a: Wording, b: Wording) -> bool:
    """The same stems, in nearly the same order; every number, name, negation and symbol equal and in the same order.

    >>> same_question(wording("How hot does the Halden 300 run?"), wording("how hot does Halden 300 run"))
    True
    >>> same_question(wording("How hot does the Halden 300 run?"), wording("How hot does the Halden 500 run?"))
    False
    """
    if a.words == b.words:
        return True
    shared = len(a.shingles & b.shingles)
    if a.stems != b.stems or shared < SIMILAR * (len(a.shingles) + len(b.shingles) - shared):
        return False
    names = a.names | b.names
    return [w for w in a.words if w in names or telling(w)] == [w for w in b.words if w in names or telling(w)]


def same_question_pairs(questions: Sequence[Wording]) -> Iterator[tuple[int, int]]:
    """Every pair (i, j), i < j, of questions that are the same; equal to comparing each with each."""
    alike: dict[frozenset[str], list[int]] = defaultdict(list)
    for position, question in enumerate(questions):
        alike[question.stems].append(position)
    for positions in alike.values():
        for i, j in combinations(positions, 2):
            if same_question(questions[i], questions[j]):
                yield i, j


def telling(word: str) -> bool:
    """Whether another word in its place makes it another question: a number, a negation, a letter or symbol."""
    return len(word) == 1 or word in _NEGATIONS or any(c.isdigit() for c in word)


def _stem(word: str) -> str:
    return re.sub(r"(?<=\w{3})(?:es|s)$", "", word).removesuffix("e")
