"""Whether one question is another one typed anew: a phrase moved, a small word or an ending changed, a word misspelt.

"What pressure does the Halden 300 run at?", "At what pressure does a Halden 300 run?" and "Can you tell me what
presure the Halden 300 runs at?" are one question. Words that carry meaning have to be equal (by Porter2 stem), with at
most one of them misspelt, and in the same order, with at most one phrase moved to or from the front. Known limits: a
synonym makes another question, and so does a misspelt name: "Halden" and "Hilden" may be two machines.

The search is exact: two rewordings share all meaning words, or all but one and a spelling of that; both are looked up.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tasks.core.retrieval import stem

LEAST_WORDS_AROUND_A_MISSPELLING = 3
LEAST_LETTERS = 5  # shorter words are too easily another word: "may" and "way"

_ASKING = re.compile(
    r"^(?:please )?(?:(?:can|could|would|will) (?:you|someone|anyone|anybody) (?:please |kindly )?"
    r"(?:tell|explain|say|let)(?: me)?(?: know)?|do you know|i(?: would|d)? (?:want|like|need) to know|please) "
)
_EMPTY = frozenset(["what", "whats", "which", "is", "are", "do", "does", "of", "please", "there"])
_MOVABLE = frozenset(["at", "in", "on", "for", "by", "with", "during"])
_ONE_OF = {"could": "can", "may": "can", "might": "can", "should": "must", "shall": "must", "would": "will"}


@dataclass(frozen=True, slots=True)
class Phrasing:
    """A question without what may change."""

    words: tuple[str, ...]  # that carry meaning, as written, in order
    stems: tuple[str, ...]  # of those
    small: tuple[str, ...]  # prepositions that may stand elsewhere; sorted


def phrasing(words: Sequence[str]) -> Phrasing:
    """The form that is compared. words: case-folded.

    >>> phrasing(["at", "which", "pressures", "does", "it", "run"])
    Phrasing(words=('pressures', 'it', 'run'), stems=('pressur', 'it', 'run'), small=('at',))
    """
    asked = _ASKING.sub("", " ".join(words)).split()
    kept = tuple(_ONE_OF.get(word, word) for word in asked if word not in _EMPTY and word not in _MOVABLE)
    small = tuple(sorted(word for word in asked if word in _MOVABLE))
    return Phrasing(kept, tuple(stem(word) for word in kept), small)


def reworded(a: Phrasing, b: Phrasing) -> bool:
    """Whether they ask the same. Numbers, names and negations are compared by whoever calls this.

    >>> ask = lambda text: phrasing(text.split())
    >>> reworded(ask("how long is the warranty in winter"), ask("in winter how long is the waranty"))
    True
    >>> reworded(ask("does the pump feed the valve"), ask("does the valve feed the pump"))
    False
    """
    if not a.stems or (Counter(a.small) - Counter(b.small) and Counter(b.small) - Counter(a.small)):
        return False
    if Counter(a.stems) == Counter(b.stems):
        return _moved(a.stems, b.stems)
    corrected = _corrected(a, b)
    return corrected is not None and _moved(a.stems, corrected)


def keys(question: Phrasing) -> Iterator[tuple[tuple[str, ...], str]]:
    """What to look rewordings up by: all stems; and all but one, with the word that was left out.

    Rewordings share the first, or one of the others with a spelling in common of what was left out (`spellings`).
    """
    yield tuple(sorted(question.stems)), ""
    if len(question.stems) > LEAST_WORDS_AROUND_A_MISSPELLING:
        for at, word in enumerate(question.words):
            if len(word) >= LEAST_LETTERS and word.isalpha():
                yield ("…", *sorted(question.stems[:at] + question.stems[at + 1 :])), word


def spellings(word: str) -> set[str]:
    """The word, and with any one letter left out: what two words share when one of them is the other misspelt."""
    return {word, *(word[:at] + word[at + 1 :] for at in range(len(word)))}


def _corrected(a: Phrasing, b: Phrasing) -> tuple[str, ...] | None:
    """The stems of b with its one misspelt word as a writes it; None when they differ by more, or otherwise."""
    only_a, only_b = Counter(a.stems) - Counter(b.stems), Counter(b.stems) - Counter(a.stems)
    if only_a.total() != 1 or only_b.total() != 1 or len(a.stems) <= LEAST_WORDS_AROUND_A_MISSPELLING:
        return None
    at_a, at_b = a.stems.index(next(iter(only_a))), b.stems.index(next(iter(only_b)))
    if not _misspelt(a.words[at_a], b.words[at_b]):
        return None
    return (*b.stems[:at_b], a.stems[at_a], *b.stems[at_b + 1 :])


def _misspelt(a: str, b: str) -> bool:
    """One letter more, less, other or two swapped, in words of five letters and more that begin alike."""
    if min(len(a), len(b)) < LEAST_LETTERS or a[0] != b[0] or not (a.isalpha() and b.isalpha()):
        return False
    short, long = sorted((a, b), key=len)
    same = next((at for at, pair in enumerate(zip(short, long, strict=False)) if pair[0] != pair[1]), len(short))
    rest_short, rest_long = short[same:], long[same:]
    if len(short) < len(long):
        return rest_long[1:] == rest_short
    swapped = rest_short[:2] == rest_long[1::-1] and rest_short[2:] == rest_long[2:]
    return rest_short[1:] == rest_long[1:] or swapped


def _moved(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    """Equal, or equal once a phrase is moved between the front and a later place."""
    if a == b:
        return True
    end = next(n for n in range(1, len(a) + 1) if a[-n] != b[-n])
    front_a, front_b = a[: len(a) - end + 1], b[: len(b) - end + 1]
    return any(front_a[n:] + front_a[:n] == front_b for n in range(1, len(front_a)))
