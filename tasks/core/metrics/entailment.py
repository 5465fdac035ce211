"""Whether passages say what a sentence claims, without a model: its words, its numbers and names, its polarity.

Similarity of embeddings cannot see a negation or another number; words that must be shared, with both as conditions,
can. Known limits, each of which a reader would see. What it takes for said: the right number beside the wrong thing
where the unit is the same, antonyms ("open" for "closed"), "may" for "must", one wrong word among many that stands in
no passage, also a name where it begins the sentence, two sentences mixed in a claim of three words, negations in
languages other than English. What it misses: synonyms, a negation that another one cancels, what stands in one sentence
with a negation of something else, and in one clause what two sentences say of one thing.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise

from tasks.core.metrics.matching import sentences
from tasks.core.retrieval import terms, words
from tasks.core.support import NUMERAL, names, numbers, supported

ENTAILED = 0.6  # of the claim's content words: at this much a claim is supported
MOST_SENTENCES = 3  # that may be joined to support one claim
LEAST_SHARED = 2  # content words that a sentence joined to another shares with the claim

_CLAUSE_END = re.compile(
    r"[;:()\n]|[,.!?](?=\s|$)|\s[-–—]\s"
    r"|\b(?:and|but|however|although|though|whereas|while|because|if|when|until|unless|before|after|which)\b",
    re.IGNORECASE,
)
_NO_NEGATION = re.compile(
    r"\b(?:not|no|never)\s+(?:only|just|merely|exceed\w*|(?:more|less|fewer|later|longer|higher|lower|earlier)\s+than)\b",
    re.IGNORECASE,
)
_NEGATION = re.compile(
    r"\b(?:not|no|never|none|nor|neither|nobody|nothing|nowhere|cannot|without)\b|(?:\b(?:ca|wo|sha))?n['’]t\b",
    re.IGNORECASE,
)
_POSSESSIVE = re.compile(r"['’]s\b", re.IGNORECASE)
_FUNCTION_WORDS = (
    "am been being can could did do does doing from had has have he her hers him his how i its may me might must my "
    "our she should so than them those us very was we were what where which who whom why would you your yes also too "
    "up any all about ought shall just only upon per via"
)

Amount = tuple[str, str]  # a number and the stem right after it: ("42", "bar")


@dataclass(frozen=True, slots=True)
class Content:
    """The stems a text is about, by whether a negation stands before them in their clause (Chapman et al. 2001)."""

    affirmed: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()
    all: frozenset[str] = frozenset()  # stems and numbers
    amounts: frozenset[Amount] = frozenset()


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence of a passage, under its heading."""

    text: str  # heading and sentence
    heading: Content
    sentence: Content

    def holds(self, wanted: frozenset[str]) -> frozenset[str]:
        """What of the stems and numbers stands in the sentence or its heading."""
        return wanted & self.sentence.all | wanted & self.heading.all


def entails(passages: Sequence[str], claim: str) -> bool:
    """Whether the passages together support the claim."""
    return entailment(passages, claim) >= ENTAILED


def entailment(passages: Sequence[str], claim: str) -> float:
    """Share of the claim's content words that at most three sentences of the passages hold; 1 when it claims nothing.

    0 when a number or name of the claim is missing there, when a number stands before another unit, when it
    mixes two sentences that are built alike, or when a word that both share is denied in one alone.

    >>> entailment(["The pump must not run dry."], "The pump must never run dry.")
    1.0
    >>> entailment(["The pump must not run dry."], "The pump may run dry.")
    0.0
    """
    return _entailment(tuple(passages), claim)


@lru_cache(maxsize=1024)  # one question asks about the same sentence and passages several times
def _entailment(passages: tuple[str, ...], claim: str) -> float:
    wanted = content(claim)
    if not wanted.all:
        return 1.0
    evidence = _evidence(wanted.all, passages)
    held = _joined(part for one in evidence for part in (one.heading, one.sentence))
    text = "\n".join(one.text for one in evidence)
    if not evidence or _contradict(held, wanted) or _mixed_up(held.amounts, wanted.amounts):
        return 0.0
    if _mixed(claim, wanted.all, evidence[0], passages):
        return 0.0
    if not supported(claim, text).supported or _begins_with_another_name(claim, text, passages):
        return 0.0
    return len(wanted.all & held.all) / len(wanted.all)


# ── what a text says ─────────────────────────────────────────────────────────────────────────────────────────────────


@lru_cache(maxsize=8192)
def said(passage: str) -> tuple[Said, ...]:
    """The sentences of a passage. Its first line is the heading when more lines follow."""
    heading, line, body = passage.partition("\n")
    if not line:
        heading, body = "", passage
    under = content(heading)
    return tuple(Said(f"{heading}\n{one}", under, content(one)) for one in sentences(body))


@lru_cache(maxsize=8192)
def content(text: str) -> Content:
    """What a text affirms and denies."""
    text = _POSSESSIVE.sub("", text)
    affirmed: set[str] = set()
    denied: set[str] = set()
    for clause in _CLAUSE_END.split(_NO_NEGATION.sub(" ", text)):
        before, *after = _NEGATION.split(clause)
        affirmed.update(terms(before))
        denied.update(terms(" ".join(after)))
    yes, no = _telling(affirmed), _telling(denied)
    return Content(yes, no, yes | no | numbers(text), _amounts(text))


def _telling(stems: Iterable[str]) -> frozenset[str]:
    return frozenset(one for one in stems if one not in _untelling() and not one[0].isdigit())


@cache
def _untelling() -> frozenset[str]:
    return frozenset(terms(_FUNCTION_WORDS))


def _amounts(text: str) -> frozenset[Amount]:
    """Numbers with the content word right after each: not "10" of "10 to 20 degrees", where another word stands."""
    pairs = [(one, after) for one, after in pairwise(words(text)) if one[0].isdigit() or one in NUMERAL]
    return frozenset(
        (number, stem) for one, after in pairs for number in numbers(one) for stem in _telling(terms(after))
    )


def _joined(contents: Iterable[Content]) -> Content:
    several = list(contents)
    return Content(
        frozenset().union(*(one.affirmed for one in several)),
        frozenset().union(*(one.denied for one in several)),
        frozenset().union(*(one.all for one in several)),
        frozenset().union(*(one.amounts for one in several)),
    )


# ── what supports it ─────────────────────────────────────────────────────────────────────────────────────────────────


def _evidence(wanted: frozenset[str], passages: Sequence[str]) -> list[Said]:
    """The sentence that holds most of what is wanted, then those with most of what is missing; the first among equals.

    Each has a third of it without its heading, and those after the first two words at least: else any sentence with a
    52 would lend the number to "52 bar", and any with a name the name.
    """
    share = len(wanted) / MOST_SENTENCES
    candidates = [one for passage in passages for one in said(passage) if len(wanted & one.sentence.all) >= share]
    chosen: list[Said] = []
    missing = wanted
    while missing and candidates and len(chosen) < MOST_SENTENCES:
        best = max(candidates, key=lambda one: len(one.holds(missing)))
        if not (found := best.holds(missing)):
            break
        chosen.append(best)
        missing -= found
        candidates = [one for one in candidates if len(wanted & one.sentence.all) >= LEAST_SHARED]
    return chosen


# ── what speaks against it ───────────────────────────────────────────────────────────────────────────────────────────


def _begins_with_another_name(claim: str, evidence: str, passages: Sequence[str]) -> bool:
    """Whether the claim's first word is a name elsewhere in the passages and is missing in the evidence.

    A capital says nothing at the beginning of a sentence, so `supported` lets such a word pass.
    """
    first, *_ = words(claim)
    return first not in words(evidence) and any(first in _named(passage) for passage in passages)


@lru_cache(maxsize=8192)
def _named(passage: str) -> frozenset[str]:
    """Names in the text of a passage, its heading aside, in lower case."""
    heading, line, body = passage.partition("\n")
    return frozenset(word for name in names(body if line else heading) for word in words(name))


def _mixed_up(there: frozenset[Amount], claimed: frozenset[Amount]) -> bool:
    """Whether a number is claimed of what the evidence gives only other numbers of, and it counts other things there.

    "42 litres", where the pump runs at 42 bar and delivers 18 litres.
    """
    counted: dict[str, set[str]] = defaultdict(set)
    numbered: dict[str, set[str]] = defaultdict(set)
    for number, what in there:
        counted[number].add(what)
        numbered[what].add(number)
    return any(counted[number] and numbered[what] and number not in numbered[what] for number, what in claimed)


def _mixed(claim: str, wanted: frozenset[str], best: Said, passages: Sequence[str]) -> bool:
    """Whether what the best sentence lacks stands in another that shares a third of the claim with it.

    "A red light means: too hot", of "A red light means: stop" and "An amber light means: too hot". A claim of several
    parts may have them from several sentences.
    """
    had = best.holds(wanted)
    if had == wanted or _CLAUSE_END.search(claim.strip(" .!?")):
        return False
    alike = max(LEAST_SHARED, len(wanted) / MOST_SENTENCES)
    others = (one.sentence.all for passage in passages for one in said(passage))
    return any(one & wanted - had and len(one & had) >= alike for one in others)


def _contradict(there: Content, claim: Content) -> bool:
    """Whether of the words both share, one side denies some and the other none."""
    shared = (there.affirmed | there.denied) & (claim.affirmed | claim.denied)
    return bool(shared & there.denied) != bool(shared & claim.denied)
