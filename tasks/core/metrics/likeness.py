"""How like the ideal answer an answer is: word for word, in words shared, in their order, in numbers, in facts.

All are undefined where no page answers the question, and 0 for an answer that declines one that a page answers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tasks.core.answers import Answer
from tasks.core.labels import Label
from tasks.core.metrics import matching
from tasks.core.metrics.matching import says, squad_tokens, without_markers
from tasks.core.metrics.score import IS_UNANSWERABLE, Score, Undefined, yes
from tasks.core.support import NUMERAL

NO_FACTS = Undefined("the label states no facts")
NO_NUMBERS = Undefined("neither answer holds a number that the question does not")

_WORDS = re.compile(r"[^\W_]+")


def exact_match(label: Label, answer: Answer) -> Score:
    """1 when the words are the ideal answer's, without case, punctuation, articles and markers (Rajpurkar et al. 2016).

    Known limit: no paraphrase is exact.
    """
    if label.unanswerable:
        return IS_UNANSWERABLE
    return yes(not answer.abstained and squad_tokens(answer.text) == squad_tokens(label.answer))


def token_f1(label: Label, answer: Answer) -> Score:
    """F1 of the words shared with the ideal answer, each as often as it occurs (Rajpurkar et al. 2016).

    Known limit: a negation or a wrong number costs one word.
    """
    if label.unanswerable:
        return IS_UNANSWERABLE
    return 0.0 if answer.abstained else matching.token_f1(answer.text, label.answer)


def rouge_l(label: Label, answer: Answer) -> Score:
    """F1 of the longest common subsequence of words, over both lengths (ROUGE-L of Lin 2004, with beta 1).

    `rouge-score` without stemming gives the same for text in ASCII; other letters are letters here, and not there.
    """
    if label.unanswerable:
        return IS_UNANSWERABLE
    if answer.abstained:
        return 0.0
    got, want = (_WORDS.findall(without_markers(text).lower()) for text in (answer.text, label.answer))
    return 2 * common_subsequence(got, want) / (len(got) + len(want)) if got and want else 0.0


def numbers(label: Label, answer: Answer) -> Score:
    """1 when the answer holds the ideal answer's numbers and no others; how often does not matter.

    Numbers of the question are neither asked for nor held against it: "Halden 300". Undefined when no number is left
    on either side. "four" is 4, and 2.50 is 2,5, but part numbers such as M12 are words.
    """
    if label.unanswerable:
        return IS_UNANSWERABLE
    asked = figures(label.question)
    want, got = figures(label.answer) - asked, figures(answer.text) - asked
    if answer.abstained:
        return 0.0 if want else NO_NUMBERS
    return yes(got == want) if got or want else NO_NUMBERS


def key_facts(label: Label, answer: Answer) -> Score:
    """Share of the label's facts that the answer says. Known limit: a negated fact counts."""
    if label.unanswerable:
        return IS_UNANSWERABLE
    if not label.facts:
        return NO_FACTS
    return 0.0 if answer.abstained else sum(says(answer.text, fact) for fact in label.facts) / len(label.facts)


def figures(text: str) -> frozenset[str]:
    """The numbers of a text in one spelling, with their sign.

    >>> sorted(figures("Four 2,50 kg parts at −20 °C"))
    ['-20', '2.5', '4']
    """
    written = (NUMERAL[word] for word in _WORDS.findall(text.lower()) if word in NUMERAL)
    return frozenset((*map(_plain, matching.numbers(text)), *written))


def common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence, one step per word of `b` (bit-parallel: Hyyrö 2004)."""
    at: dict[str, int] = {}
    for place, word in enumerate(a):
        at[word] = at.get(word, 0) | 1 << place
    row = full = (1 << len(a)) - 1  # zero bits: places of `a` where the subsequence has grown
    for word in b:
        matched = row & at.get(word, 0)
        row = (row + matched | row - matched) & full
    return (full ^ row).bit_count()


def _plain(number: str) -> str:
    plain = number.replace(",", ".")
    return plain.rstrip("0").rstrip(".") if plain.count(".") == 1 else plain
