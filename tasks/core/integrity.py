"""What must be true before any number counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tasks.core.labels import Label
from tasks.core.near_duplicates import same_question_pairs, wording


@dataclass(frozen=True, slots=True)
class Integrity:
    """Facts gathered while the releases were opened and asked. Every text is a sentence for the person who must act."""

    golden_set: str | None  # id of the frozen set; None: there is none
    leaks: tuple[str, ...] = ()  # golden questions the candidate's model was trained on
    unchecked: str | None = None  # why leaks cannot be ruled out
    broken: tuple[str, ...] = ()  # parts of the candidate that are not what was recorded
    baseline_broken: tuple[str, ...] = ()  # the same of the release being served


def golden_leaks(golden: Sequence[Label], trained_on: Sequence[Label]) -> tuple[str, ...]:
    """One sentence per golden label that shares its id, a page, or (nearly) its question with a training label."""
    return tuple(dict.fromkeys([*_same_label(golden, trained_on), *_same_question(golden, trained_on)]))


def _same_label(golden: Sequence[Label], trained_on: Sequence[Label]) -> Iterator[str]:
    ids = {label.id for label in trained_on}
    pages = {document: label for label in trained_on for document in label.documents}
    for label in golden:
        if label.id in ids:
            yield f"Golden label {label.id} was trained on."
            continue
        for document in label.documents:
            if document in pages:
                other = pages[document].id
                yield f"Golden label {label.id} is about {document}, and so is {other}, which was trained on."


def _same_question(golden: Sequence[Label], trained_on: Sequence[Label]) -> Iterator[str]:
    everything = [*golden, *trained_on]
    for i, j in same_question_pairs([wording(label.asked) for label in everything]):
        if i < len(golden) <= j and everything[i].id != everything[j].id:
            yield f"Golden label {everything[i].id} asks the same as {everything[j].id}, which was trained on."
