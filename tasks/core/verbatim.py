"""Whether a text stands nearly word for word in another, as training data is searched for the texts of a test set.

What is counted is runs of eight words that both hold, as for Llama 3 (Dubey et al. 2024, section 5.1.4). Answers follow
patterns ("The maximum operating pressure of the Halden 300 is …"), so a text is only found where its numbers, names and
negations stand in the other one too. Known limits: texts of fewer than eight words are not found, nor is a paraphrase.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from tasks.core.near_duplicates import Wording, telling, wording

RUN = 8  # words, articles aside
COVERED = 0.8  # of a text's words: so many of them at least stand in runs that the other text holds too


def verbatim_pairs(texts: Sequence[str], others: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Every (i, j) where texts[i] stands in others[j], by j.

    >>> texts = ["The gearbox oil of the Skerry is changed every 500 hours.", "Never let the Skerry run dry, not once."]
    >>> list(verbatim_pairs(texts, ["Note: gearbox oil of the Skerry is changed every 500 hours of work."]))
    [(0, 0)]
    """
    worded = [wording(text) for text in texts]
    places = _places(worded)
    for j, other in enumerate(others):
        there = wording(other)
        held: dict[int, set[int]] = defaultdict(set)
        for run in _runs(there.words):
            for i, at in places.get(run, ()):
                held[i].update(range(at, at + RUN))
        for i, covered in held.items():
            enough = len(covered) >= COVERED * len(worded[i].words)
            if enough and _what_tells(worded[i]) <= set(there.words):
                yield i, j


def _places(texts: Sequence[Wording]) -> dict[tuple[str, ...], list[tuple[int, int]]]:
    """Run of words → the texts it stands in, and where."""
    places: dict[tuple[str, ...], list[tuple[int, int]]] = defaultdict(list)
    for i, text in enumerate(texts):
        for at, run in enumerate(_runs(text.words)):
            places[run].append((i, at))
    return places


def _runs(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    return (tuple(words[at : at + RUN]) for at in range(len(words) - RUN + 1))


def _what_tells(text: Wording) -> set[str]:
    return {*text.names, *(word for word in text.words if telling(word))}
