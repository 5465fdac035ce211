"""How an answer comes when it is asked for alone, as in serving: how fast, and whether it is the one judged."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tasks.core.answers import Answer
from tasks.core.labels import Label


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """One golden question asked of one release by itself, with nothing cached."""

    label: str  # its id
    text: str  # the answer
    seconds: float  # from question to whole answer, to the millisecond


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The same few golden questions, asked of the candidate and of the release being served in turns."""

    candidate: tuple[Rehearsed, ...] = ()
    baseline: tuple[Rehearsed, ...] = ()


NOT_REHEARSED = Rehearsal()


def to_rehearse(labels: Sequence[Label], answers: Sequence[Sequence[Answer]], count: int) -> tuple[Label, ...]:
    """Up to `count` golden questions, always the same ones, of both sorts in the proportion of the golden set.

    answers: per release, one answer per label. Questions that some release declined before it asked its model say
    nothing about pace: they are taken only where there are no others.
    """
    asked = [n for n in range(len(labels)) if all(_asked_the_model(given[n]) for given in answers)]
    return tuple(_spread([labels[n] for n in asked] or labels))[:count]


def _asked_the_model(answer: Answer) -> bool:
    return answer.abstained_because not in ("confidence", "no-passages")


def _spread(labels: Sequence[Label]) -> Iterator[Label]:
    """By a hash of their ids, and so that any first few hold both sorts as the whole does."""
    places: list[tuple[float, str, Label]] = []
    for unanswerable in (False, True):
        kind = sorted(((_drawn(x), x) for x in labels if x.unanswerable is unanswerable), key=lambda pair: pair[0])
        places += [((rank + 0.5) / len(kind), drawn, label) for rank, (drawn, label) in enumerate(kind)]
    return (label for _, _, label in sorted(places, key=lambda place: place[:2]))


def _drawn(label: Label) -> str:
    return hashlib.sha256(label.id.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Blessing:
    """How a release answered in the process that serves, before it became current."""

    where: str  # addresses of the services, or that it was a process started for this
    questions: int  # asked with nothing cached, of all services together
    agreed: int  # answers that are the ones judged
    seconds: float  # of all answers together, opening the model included
    warmed: bool  # what answered goes on serving, and has the release open now
