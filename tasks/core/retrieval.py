"""How chunks are ranked for a question: words, BM25, the fusions, and ties that always break the same way."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from snowballstemmer.english_stemmer import EnglishStemmer

    from tasks.core.releases import RetrievalSettings

    Floats = NDArray[np.float64]
    Counts = NDArray[np.intp]

K = TypeVar("K", bound=str | int)  # a chunk id, or a row that stands for one and sorts like it

BM25_K1 = 1.2
BM25_B = 0.75

# ── words ────────────────────────────────────────────────────────────────────────────────────────────────────────────

WORDS_RULE = 3
"""Which rule `terms` follows. It grows when a text could give other terms: what was counted is then counted anew."""

_UNSPACED = (
    "\u0e01-\u0e4e\u0e81-\u0ece\u0edc-\u0edf"  # Thai, Lao; without digits, as all of these
    "\u1000-\u103f\u1050-\u108f\u1780-\u17d3"  # Myanmar, Khmer
    "\u3005-\u3007\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"  # 々〇, Hiragana, Katakana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"  # Han
    "\uac00-\ud7a3"  # Hangul: spaced, but its particles are written onto the word
)
_WORD = re.compile(r"[^\W_]+(?:(?:(?<=\d)[.,](?=\d)|['’])[^\W_]+)*")


def words(text: str) -> list[str]:
    """The words of a text, without case, with numbers and names such as `2.5` and `don't` kept whole.

    Where a script puts no spaces between words, every two neighbouring characters are one, as in Lucene's CJKAnalyzer;
    so a query of a single such character finds only texts where it stands alone. Compatible characters are one
    (NFKC): full-width digits, and the ligatures that PDF files are full of. Accents stay: they tell words apart in
    most languages that have them, and questions are typed with them.

    >>> words("The Halden-300 runs at 2.5 bar, don't it?")
    ['the', 'halden', '300', 'runs', 'at', '2.5', 'bar', "don't", 'it']
    >>> words("東京都の３００型")
    ['東京', '京都', '都の', '300', '型']
    >>> words("die Straße, ﬁnal")
    ['die', 'strasse', 'final']
    """
    if text.isascii():
        return _WORD.findall(text.lower())  # the same words, at half the price
    plain = unicodedata.normalize("NFKC", text).casefold()
    with_marks, any_script = _patterns()
    if not with_marks.search(plain):
        return _WORD.findall(plain)  # the same words, three times as fast
    return [word for found in any_script.finditer(plain) for word in _of(found)]


# Lucene's 33 English stop words
_STOP_WORDS = frozenset(("a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it"))
_STOP_WORDS |= {"no", "not", "of", "on", "or", "such", "that", "the", "their", "then", "there", "these", "they", "this"}
_STOP_WORDS |= {"to", "was", "will", "with"}


def terms(text: str) -> list[str]:
    """What keyword search counts: the words without English endings and without Lucene's 33 English stop words.

    Other languages in Latin letters lose what looks like an English ending, in texts and in questions alike, which
    joins few words that differ; other scripts, and anything with a digit, stay as they are. On the Cranfield
    collection it takes nDCG@10 of BM25 from .344 to .381 (`benchmarks/documents/cranfield.py`).

    >>> terms("Which seals of the H300s are leaking?")
    ['which', 'seal', 'h300s', 'leak']
    """
    return [stem(word) for word in words(text) if word not in _STOP_WORDS]


@lru_cache(maxsize=200_000)
def stem(word: str) -> str:
    """A word of a to z without its ending (Porter2: Porter 2001, the Snowball English stemmer)."""
    return str(_stemmer().stemWord(word)) if word.isascii() and word.isalpha() else word


@cache
def _stemmer() -> EnglishStemmer:
    # Not through snowballstemmer.stemmer(): where PyStemmer is installed, that gives stems of another version.
    from snowballstemmer.english_stemmer import EnglishStemmer

    return EnglishStemmer()


def _of(found: re.Match[str]) -> Iterator[str]:
    token = found[0]
    if found.lastgroup is None or len(token) == 1:
        return iter((token,))
    return (token[at : at + 2] for at in range(len(token) - 1))


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What `_WORD` does not do justice to, and what does: marks (vowel signs) belong to the letter they follow."""
    marks = "".join(chr(code) for code in range(0x300, 0x10000) if unicodedata.category(chr(code)).startswith("M"))
    letters = rf"[^\W_{_UNSPACED}]+"
    word = rf"{letters}(?:[{marks}]+(?:{letters})?)*"
    any_script = rf"(?P<unspaced>[{_UNSPACED}]+)|{word}(?:(?:(?<=\d)[.,](?=\d)|['’]){word})*"
    return re.compile(f"[{_UNSPACED}{marks}]"), re.compile(any_script)


# ── scores ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def bm25_weights(
    frequency: Floats, length: Floats, *, containing: int | Counts, documents: int, average_length: float
) -> Floats:
    """What one query term adds to each chunk that contains it.

    frequency, length: (n,) of the term in each chunk, and of each chunk in words. containing: chunks with the term.
    Robertson & Zaragoza 2009, k1 = 1.2, b = 0.75, with the idf of Lucene, ln(1 + (N - n + 0.5) / (n + 0.5)), which
    is never negative.
    """
    idf = np.log(1 + (documents - containing + 0.5) / (containing + 0.5))
    norm = BM25_K1 * (1 - BM25_B + BM25_B * length / max(average_length, 1e-9))
    weights: Floats = idf * frequency * (BM25_K1 + 1) / (frequency + norm)
    return weights


def best(scores: Floats, count: int) -> list[int]:
    """Rows of the `count` highest scores, best first; among equals the smaller row, so sort rows by chunk id.

    >>> best(np.array([0.1, 0.7, 0.7, 0.9]), 3)
    [3, 1, 2]
    """
    if count >= len(scores):
        candidates = np.arange(len(scores))
    else:
        smallest_kept = np.partition(scores, -count)[-count]
        candidates = np.flatnonzero(scores >= smallest_kept)
    order = np.lexsort((candidates, -scores[candidates]))
    return [int(row) for row in candidates[order][:count]]


# ── fusion ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def candidates_wanted(settings: RetrievalSettings) -> int:
    """How many candidates each list is to bring to `ranked`."""
    if settings.fusion in ("vector", "bm25"):
        return settings.wanted
    return max(settings.candidates, settings.wanted) if settings.reranker else settings.candidates


def ranked(
    by_words: Sequence[tuple[K, float]], by_vector: Sequence[tuple[K, float]], settings: RetrievalSettings
) -> list[tuple[K, float]]:
    """The `settings.wanted` best of both candidate lists with their fused scores, best first; ties by key.

    by_words: BM25 scores, only of what holds a word of the question. by_vector: similarities. In any order; of each
    list the best `candidates_wanted(settings)` count.

    >>> from tasks.core.releases import RetrievalSettings
    >>> ranked([("b", 7.0)], [("a", 0.9), ("b", 0.4)], RetrievalSettings(fusion="blend", blend_alpha=0.75))
    [('a', 0.75), ('b', 0.25)]
    """
    count = candidates_wanted(settings)
    worded, near = _first(by_words, count), _first(by_vector, count)
    if settings.fusion == "bm25":
        return worded
    if settings.fusion == "vector":
        return near
    if settings.fusion == "blend":
        scores = blend(dict(near), dict(worded), settings.blend_alpha)
    else:
        scores = fuse([[key for key, _ in worded], [key for key, _ in near]], settings.rrf_k)
    return _first(list(scores.items()), settings.wanted)


def fuse(rankings: Sequence[Sequence[K]], k: int = 60) -> Mapping[K, float]:
    """Reciprocal rank fusion: Σ 1 / (k + rank), rank from 1 (Cormack et al. 2009, k = 60).

    >>> {row: round(score, 4) for row, score in fuse([[7, 3], [3]]).items()}
    {7: 0.0164, 3: 0.0325}
    """
    scores: dict[K, float] = {}
    for ranking in rankings:
        for rank, key in enumerate(ranking, start=1):
            scores[key] = scores.get(key, 0.0) + 1 / (k + rank)
    return scores


def blend(by_vector: Mapping[K, float], by_words: Mapping[K, float], alpha: float = 0.7) -> Mapping[K, float]:
    """Convex combination: alpha · vector + (1 - alpha) · words, each stretched to 0…1 over its own candidates.

    Bruch, Gai & Ingber 2023 ("An Analysis of Fusion Functions for Hybrid Retrieval"), with min-max normalisation.
    Unlike ranks it keeps by how much one is better. What a list does not hold has 0 there, like the list's last; in a
    list of one, or of equal scores, everything has 1.

    >>> blend({"a": 0.75, "b": 0.5, "c": 0.25}, {"c": 9.0}, alpha=0.5)
    {'a': 0.5, 'b': 0.25, 'c': 0.5}
    """
    near, worded = _stretched(by_vector), _stretched(by_words)
    keys = dict.fromkeys((*near, *worded))
    return {key: alpha * near.get(key, 0.0) + (1 - alpha) * worded.get(key, 0.0) for key in keys}


def _stretched(scores: Mapping[K, float]) -> dict[K, float]:
    low, high = min(scores.values(), default=0.0), max(scores.values(), default=0.0)
    return {key: (score - low) / (high - low) if high > low else 1.0 for key, score in scores.items()}


def _first(scored: Sequence[tuple[K, float]], count: int) -> list[tuple[K, float]]:
    return sorted(scored, key=lambda one: (-one[1], one[0]))[:count]
