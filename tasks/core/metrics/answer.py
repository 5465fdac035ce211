"""Whether an answer is right, well formed, rightly cited, or rightly withheld: one label, one answer, one score."""

from __future__ import annotations

import re

from tasks.core.answers import Answer, Passage
from tasks.core.labels import Label
from tasks.core.metrics.matching import MARKER, numbers, says, sentences, token_f1
from tasks.core.metrics.retrieval import holds_answer
from tasks.core.metrics.score import IS_ANSWERABLE, IS_UNANSWERABLE, Score, yes

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
    """Unanswerable questions: 1 when declined."""
    return yes(answer.abstained) if label.unanswerable else IS_ANSWERABLE


def answers(label: Label, answer: Answer) -> Score:
    """Answerable questions: 1 when not declined."""
    return IS_UNANSWERABLE if label.unanswerable else yes(not answer.abstained)


def style(answer: Answer, abstention: str) -> float:
    """1 for one sentence that ends with its marker or markers, or for exactly the sentence that abstains."""
    text = answer.text.strip()
    if text == abstention:
        return 1.0
    parts = _BODY_AND_MARKERS.fullmatch(text)
    if parts is None or MARKER.search(parts["body"]):
        return 0.0
    return yes(len(sentences(parts["body"])) == 1)


def citation(label: Label, answer: Answer) -> Score:
    """Every marker leads to a passage shown for this question, and one of them to a page of the label.

    Defined on every answerable question, so that both sides of a comparison are asked the same ones: declining scores
    0. A label that names no page asks whether a cited passage holds the ideal answer.
    """
    if label.unanswerable:
        return IS_UNANSWERABLE
    cited = cited_passages(answer)
    if answer.abstained or not cited:
        return 0.0
    if label.documents:
        return yes(any(passage.document in label.documents for passage in cited))
    return yes(any(holds_answer(passage.text, label) for passage in cited))


def cited_passages(answer: Answer) -> tuple[Passage, ...]:
    """The passages the answer's markers lead to; none at all when one marker or citation leads astray."""
    shown = {passage.marker: passage for passage in answer.contexts}
    written = {int(number) for number in MARKER.findall(answer.text)}
    agreed = all(
        c.marker in shown and (c.document, c.chunk) == (shown[c.marker].document, shown[c.marker].chunk)
        for c in answer.citations
    )
    if answer.dangling_markers or not agreed or written != {c.marker for c in answer.citations}:
        return ()
    return tuple(shown[marker] for marker in sorted(written))
