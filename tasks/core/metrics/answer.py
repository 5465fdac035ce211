"""Whether an answer is right, in style, or rightly withheld: one label, one answer, one score."""

from __future__ import annotations

import re

from tasks.core.answers import Answer
from tasks.core.labels import Label
from tasks.core.metrics.matching import MARKER, numbers, says, sentences, token_f1
from tasks.core.metrics.score import IS_ANSWERABLE, IS_UNANSWERABLE, NOT_DECLINED, Score, yes

SIMILAR_ENOUGH = 0.6  # token F1 with the ideal answer, for labels that state no facts

_BODY_AND_MARKERS = re.compile(r"(?P<body>.*[.!?][\"'”’)]*)(?:\s*\[\d{1,3}\])+", re.DOTALL)


def correct(label: Label, answer: Answer) -> Score:
    """Every fact of the label occurs; without facts, every number of the ideal answer and token F1 ≥ 0.6.

    An abstention is wrong. Unanswerable: undefined. Known limits: a negated fact counts, and so does a right fact
    beside a wrong one.
    """
    if label.unanswerable:
        return IS_UNANSWERABLE
    if answer.abstained:
        return 0.0
    if label.facts:
        return yes(all(says(answer.text, fact) for fact in label.facts))
    missing = numbers(label.answer) - numbers(answer.text)
    return yes(not missing and token_f1(answer.text, label.answer) >= SIMILAR_ENOUGH)


def abstains(label: Label, answer: Answer) -> Score:
    """Unanswerable questions: 1 when declined. Its mean is the recall of abstention."""
    return yes(answer.abstained) if label.unanswerable else IS_ANSWERABLE


def answers(label: Label, answer: Answer) -> Score:
    """Answerable questions: 1 when not declined."""
    return IS_UNANSWERABLE if label.unanswerable else yes(not answer.abstained)


def abstention_precision(label: Label, answer: Answer) -> Score:
    """Declined questions: 1 when no page answers them. Its mean is the precision of abstention."""
    return yes(label.unanswerable) if answer.abstained else NOT_DECLINED


def style(answer: Answer, abstention: str) -> float:
    """1 for one sentence that ends with its marker or markers, or for exactly the sentence that abstains."""
    text = answer.text.strip()
    if text == abstention:
        return 1.0
    parts = _BODY_AND_MARKERS.fullmatch(text)
    if parts is None or MARKER.search(parts["body"]):
        return 0.0
    return yes(len(sentences(parts["body"])) == 1)
