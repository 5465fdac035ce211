"""Labels: one reviewed example each; what identifies it, and the sets it can belong to."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from tasks.core.ports import Message
from tasks.core.releases import canonical_json

Split = Literal["train", "validation", "golden"]
LabelState = Literal["pending", "accepted", "rejected"]

_TRAILING_MARKERS = re.compile(r"\s*(?:\[\d+\]\s*)+(\.?)\s*$")


@dataclass(frozen=True, slots=True)
class Label:
    """One example: a question, its ideal answer (without a marker), and the pages it is about."""

    id: str  # `l-` + 16 hex digits of the hash of question, answer and documents
    question: str
    answer: str
    documents: tuple[str, ...]  # pages the answer comes from, or, when unanswerable, the pages it is near to
    unanswerable: bool
    facts: tuple[str, ...]  # strings a right answer must contain ("42 bar"); empty: judged by the whole answer
    split: Split | None  # None: not assigned yet; a pending label keeps the split it asked for
    state: LabelState
    messages: tuple[Message, ...] = ()  # the whole conversation, when the label came as one
    reason: str | None = None  # why it is pending or rejected
    contributor: str | None = None  # who gave it, where that is known

    @property
    def asked(self) -> str:
        """The question with the turns that give it its meaning: what is compared between labels."""
        return asked(self.question, self.messages)


@dataclass(frozen=True, slots=True)
class GoldenSet:
    """The accepted golden labels of one moment: a frozen list. Other members are another set."""

    id: str  # `g-` + 16 hex digits of the hash of the sorted label ids
    label_ids: tuple[str, ...]  # sorted


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """How many labels stand where. `new`: accepted training labels that no successful training has consumed."""

    accepted: int
    new: int
    threshold: int
    pending: int
    rejected: int
    golden: int
    validation: int
    train: int
    unassigned: int  # accepted, waiting until a golden set can exist
    preferences: int = 0  # accepted, of every split
    ratings: int = 0
    opinions_pending: int = 0

    @property
    def crossed(self) -> bool:
        """Whether enough new labels have arrived to train on."""
        return self.new >= self.threshold


def label_id(question: str, answer: str, documents: Sequence[str], messages: Sequence[Message] = ()) -> str:
    """The label's identity: equal after white space, order of documents and a trailing marker are ignored.

    Only a conversation of several turns adds its earlier turns: "Yes." answers many questions called "Really?".

    >>> label_id("Is  it hot?", "Yes.\\n", ["a.md"]) == label_id("Is it hot?", "Yes. [1]", ["a.md"])
    True
    """
    parts: list[object] = [squeezed(question), squeezed(without_marker(answer)), sorted(set(documents))]
    if turns := earlier_turns(messages):
        parts.append([squeezed(turn.content) for turn in turns])
    return "l-" + hashlib.sha256(canonical_json(parts).encode()).hexdigest()[:16]


def golden_set(labels: Iterable[Label]) -> GoldenSet | None:
    """The golden set these labels make; None when none of them is accepted and golden."""
    ids = tuple(sorted(label.id for label in labels if label.state == "accepted" and label.split == "golden"))
    if not ids:
        return None
    return GoldenSet("g-" + hashlib.sha256(canonical_json(ids).encode()).hexdigest()[:16], ids)


class _Opinion(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def state(self) -> LabelState: ...


def count_labels(
    labels: Sequence[Label], consumed: frozenset[str], threshold: int, opinions: Sequence[_Opinion] = ()
) -> LabelCounts:
    """Counts by state and split; consumed: ids of labels that a successful training was made from."""
    accepted = [label for label in labels if label.state == "accepted"]
    train = [label for label in accepted if label.split == "train"]
    return LabelCounts(
        accepted=len(accepted),
        new=sum(label.id not in consumed for label in train),
        threshold=threshold,
        pending=sum(label.state == "pending" for label in labels),
        rejected=sum(label.state == "rejected" for label in labels),
        golden=sum(label.split == "golden" for label in accepted),
        validation=sum(label.split == "validation" for label in accepted),
        train=len(train),
        unassigned=sum(label.split is None for label in accepted),
        preferences=sum(x.state == "accepted" and x.id.startswith("p-") for x in opinions),
        ratings=sum(x.state == "accepted" and x.id.startswith("v-") for x in opinions),
        opinions_pending=sum(x.state == "pending" for x in opinions),
    )


def squeezed(text: str) -> str:
    """The text with every run of white space as one space, and none at the ends."""
    return " ".join(text.split())


def without_marker(answer: str) -> str:
    """The answer as it is stored: without the markers at its end, which belong to one prompt's passages.

    >>> without_marker("It runs at 42 bar. [2]"), without_marker("It runs at 42 bar [1][3].")
    ('It runs at 42 bar.', 'It runs at 42 bar.')
    """
    return _TRAILING_MARKERS.sub(r"\1", answer.strip())


def earlier_turns(messages: Sequence[Message]) -> tuple[Message, ...]:
    """What was said before the last question, system prompts left out."""
    said = [message for message in messages if message.role != "system"]
    return tuple(said[:-2])


def asked(question: str, messages: Sequence[Message]) -> str:
    """The question with the turns before it."""
    return "\n".join([*(turn.content for turn in earlier_turns(messages)), question])
