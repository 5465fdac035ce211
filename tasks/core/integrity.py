"""What must be true before any number counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from tasks.core.labels import Label
from tasks.core.near_duplicates import same_question_pairs, wording
from tasks.core.verbatim import verbatim_pairs


@dataclass(frozen=True, slots=True)
class Integrity:
    """Facts gathered while the releases were opened and asked. Every text is a sentence for the person who must act."""

    golden_set: str | None  # id of the frozen set; None: there is none
    leaks: tuple[str, ...] = ()  # golden questions the candidate's model was trained on
    unchecked: str | None = None  # why leaks cannot be ruled out
    broken: tuple[str, ...] = ()  # parts of the candidate that are not what was recorded
    baseline_broken: tuple[str, ...] = ()  # the same of the release being served
    anchor_broken: tuple[str, ...] = ()  # and of the anchor


def golden_leaks(golden: Sequence[Label], trained_on: Sequence[Label]) -> tuple[str, ...]:
    """One sentence per golden label, in their order, that shares with a training label its id, a page, or what it says.

    That is (nearly) its question, or its question, answer or both word for word.
    """
    ways = (_same_label, _same_page, _same_question, _same_words)
    found: dict[str, str] = {}
    for label, sentence in chain.from_iterable(way(golden, trained_on) for way in ways):
        found.setdefault(label.id, f"Golden label {label.id} {sentence}")
    return tuple(found[label.id] for label in golden if label.id in found)


def same_words(golden: Sequence[Label], trained_on: Sequence[Label]) -> Iterator[tuple[Label, Label]]:
    """Pairs of labels where the training label holds question, answer or both of the golden one word for word.

    An answer that several golden labels share, and the sentence that abstains, say nothing about one of them.
    """
    answers = Counter(wording(label.answer).words for label in golden)
    pieces = [(label, text) for label in golden for text in _pieces(label, answers[wording(label.answer).words])]
    said = [_whole(label) for label in trained_on]
    for i, j in verbatim_pairs([text for _, text in pieces], said):
        yield pieces[i][0], trained_on[j]


def _pieces(label: Label, labels_with_its_answer: int) -> tuple[str, ...]:
    if label.unanswerable or labels_with_its_answer > 1:
        return (label.asked,)
    return label.asked, label.answer, _whole(label)


def _whole(label: Label) -> str:
    return f"{label.asked}\n{label.answer}"


def _same_label(golden: Sequence[Label], trained_on: Sequence[Label]) -> Iterator[tuple[Label, str]]:
    ids = {label.id for label in trained_on}
    return ((label, "was trained on.") for label in golden if label.id in ids)


def _same_page(golden: Sequence[Label], trained_on: Sequence[Label]) -> Iterator[tuple[Label, str]]:
    pages = {document: label.id for label in trained_on for document in label.documents}
    for label in golden:
        for page in label.documents:
            if page in pages:
                yield label, f"is about {page}, and so is {pages[page]}, which was trained on."


def _same_question(golden: Sequence[Label], trained_on: Sequence[Label]) -> Iterator[tuple[Label, str]]:
    everything = [*golden, *trained_on]
    for i, j in same_question_pairs([wording(label.asked) for label in everything]):
        if i < len(golden) <= j:
            yield everything[i], f"asks the same as {everything[j].id}, which was trained on."


def _same_words(golden: Sequence[Label], trained_on: Sequence[Label]) -> Iterator[tuple[Label, str]]:
    for label, other in same_words(golden, trained_on):
        yield label, f"stands word for word in {other.id}, which was trained on."
