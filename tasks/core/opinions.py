"""What people think of answers: one preferred to another, or one found good or bad. Kept for DPO and KTO."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tasks.core.errors import GoldenLeak
from tasks.core.labels import Label, LabelState, Split, squeezed, without_marker
from tasks.core.near_duplicates import same_question_pairs, wording
from tasks.core.releases import canonical_json


@dataclass(frozen=True, slots=True)
class Preference:
    """Of two answers to one question, people prefer this one."""

    id: str  # `p-` + 16 hex digits of the hash of question, chosen, rejected and documents
    question: str
    chosen: str
    rejected: str
    documents: tuple[str, ...]
    split: Split | None
    state: LabelState
    reason: str | None = None
    contributor: str | None = None


@dataclass(frozen=True, slots=True)
class Rating:
    """How good one person found one answer."""

    id: str  # `v-` + 16 hex digits of the hash of question, answer, documents and contributor
    question: str
    answer: str
    value: float  # 0 (bad) to 1 (good)
    documents: tuple[str, ...]
    split: Split | None
    state: LabelState
    comment: str | None = None
    release: str | None = None  # that gave the answer, where it is known
    reason: str | None = None
    contributor: str | None = None


Opinion = Preference | Rating


def preference_id(question: str, chosen: str, rejected: str, documents: Sequence[str]) -> str:
    """The preference's identity. White space, order of documents and trailing markers do not matter."""
    answers = [squeezed(without_marker(answer)) for answer in (chosen, rejected)]
    return "p-" + _hash([squeezed(question), *answers, sorted(set(documents))])


def rating_id(question: str, answer: str, documents: Sequence[str], contributor: str | None) -> str:
    """The rating's identity: one person rates one answer once, and may change their mind."""
    return "v-" + _hash([squeezed(question), squeezed(without_marker(answer)), sorted(set(documents)), contributor])


def as_label(one: Opinion) -> Label:
    """Its question with the answer that people prefer, or that they rated."""
    answer = one.chosen if isinstance(one, Preference) else one.answer
    return Label(one.id, one.question, answer, one.documents, False, (), one.split, one.state)


def to_train_on(opinions: Iterable[Opinion], labels: Iterable[Label], split: Split = "train") -> tuple[Opinion, ...]:
    """Accepted opinions of a split, by id. Raises GoldenLeak when one is about a golden page or question."""
    chosen = sorted((x for x in opinions if x.state == "accepted" and x.split == split), key=lambda x: x.id)
    golden = [label for label in labels if label.state == "accepted" and label.split == "golden"]
    pages = {page: label.id for label in golden for page in label.documents}
    leaks = [
        f"{x.id} is about {page}, as golden label {pages[page]} is"
        for x in chosen
        for page in x.documents
        if page in pages
    ]
    asked = [wording(x.question) for x in chosen] + [wording(label.asked) for label in golden]
    leaks += [
        f"{chosen[i].id} asks what golden label {golden[j - len(chosen)].id} asks"
        for i, j in same_question_pairs(asked)
        if i < len(chosen) <= j
    ]
    if leaks:
        raise GoldenLeak(
            f"{len(leaks)} ways from the golden set into preferences and ratings, the first: {leaks[0]}. "
            "Reject these in `ratchet labels review`.",
            leaks=tuple(leaks),
        )
    return tuple(chosen)


def _hash(parts: list[object]) -> str:
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()[:16]
