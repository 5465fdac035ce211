"""Whether a text says what an ideal answer says: facts, numbers and words, whatever the spelling of them."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

MARKER = re.compile(r"\[\d{1,3}(?:\s*,\s*\d{1,3})*\]")

_THOUSANDS = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:[,'’\u00a0\u2009\u202f]\d{3})+(?!\d)")
_JOINING_HYPHEN = re.compile(r"(?<=\w)[-‐‑–](?=\w)")
_NUMBER_THEN_UNIT = re.compile(r"(?<=\d)(?=[^\W\d_]|[°%µ])")
_NUMBER = re.compile(r"(?<![\w.,])-?\d+(?:[.,]\d+)*(?!\w)")
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def without_markers(text: str) -> str:
    """The text without its [n] and [n, m]."""
    return MARKER.sub(" ", text)


@lru_cache(maxsize=8192)
def normalised(text: str) -> str:
    """One spelling: no markers, case, thousands separators or hyphens between words; one space before a unit.

    >>> normalised("Up to 1,240°C,  a 42-bar pump. [2]")
    'up to 1240 °c, a 42 bar pump.'
    """
    plain = _THOUSANDS.sub(lambda found: re.sub(r"\D", "", found.group()), without_markers(text))
    plain = unicodedata.normalize("NFKC", plain).casefold().replace("−", "-").replace("’", "'")
    plain = _JOINING_HYPHEN.sub(" ", plain)
    return re.sub(r"°\s+", "°", " ".join(_NUMBER_THEN_UNIT.sub(" ", plain).split()))


def says(text: str, fact: str) -> bool:
    """Whether the fact stands in the text as whole words and whole numbers: "42 bar" is not in "142 bar".

    Does not see negation: "not 42 bar" says "42 bar".
    """
    wanted = _whole(fact)
    return wanted is not None and wanted.search(normalised(text)) is not None


@lru_cache(maxsize=8192)
def _whole(fact: str) -> re.Pattern[str] | None:
    plain = normalised(fact).strip(" .,;:!?")
    if not plain:
        return None
    before = r"(?<!\w)(?<!\d[.,])(?<!-)" if plain[0].isdigit() else r"(?<!\w)"
    return re.compile(rf"{before}{re.escape(plain)}(?!\w)(?![.,]\d)")


def numbers(text: str) -> Counter[str]:
    """Every number in the text, with its sign, thousands separators aside."""
    return Counter(_NUMBER.findall(normalised(text)))


def squad_tokens(text: str) -> list[str]:
    """Words as SQuAD compares them (Rajpurkar et al. 2016): lower case, no punctuation, no articles."""
    return _ARTICLES.sub(" ", without_markers(text).lower().translate(_NO_PUNCTUATION)).split()


def token_f1(text: str, ideal: str) -> float:
    """Harmonic mean of token precision and recall; 1 when both are empty, 0 when one is.

    >>> token_f1("The cat sat.", "a cat sat down")
    0.8
    """
    got, want = Counter(squad_tokens(text)), Counter(squad_tokens(ideal))
    if not got or not want:
        return float(got == want)
    return 2 * (got & want).total() / (got.total() + want.total())


def token_recall(text: str, ideal: str) -> float:
    """Share of the ideal answer's tokens that the text holds; 0 when the ideal answer has none."""
    want = Counter(squad_tokens(ideal))
    return (Counter(squad_tokens(text)) & want).total() / want.total() if want else 0.0


def supports(text: str, ideal: str, facts: Sequence[str]) -> float:
    """How much of an ideal answer a passage or page holds, 0 to 1: of the facts, or of the answer in one sentence.

    Without facts, a sentence that lacks one of the answer's numbers supports nothing.
    """
    if facts:
        return sum(says(text, fact) for fact in facts) / len(facts)
    wanted = numbers(ideal)
    held = (sentence for sentence in sentences(text) if not wanted - numbers(sentence))
    return max((token_recall(sentence, ideal) for sentence in held), default=0.0)


_SENTENCE_END = re.compile(r"[.!?][\"'”’)]*(?=\s+[\"'“‘(]*[^\W\d_a-z])|\n")
_ABBREVIATIONS = ("e.g.", "i.e.", "approx.", "fig.", "vs.", "dr.", "mr.", "mrs.", "ms.", "st.", "max.", "min.", "ca.")


def sentences(text: str) -> list[str]:
    """The text's sentences. A line ends one; an abbreviation does not.

    >>> sentences("Use grade 46, e.g. Brannock oil. Warm it first.")
    ['Use grade 46, e.g. Brannock oil.', 'Warm it first.']
    """
    found, start = [], 0
    for end in _SENTENCE_END.finditer(text):
        if not text[start : end.end()].lower().endswith(_ABBREVIATIONS):
            found.append(text[start : end.end()].strip())
            start = end.end()
    return [sentence for sentence in (*found, text[start:].strip()) if sentence]
