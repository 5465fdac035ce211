"""Feedback on an answer: what was said, and the label or rating that it becomes. Both wait for review."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from tasks.core.labels import Label, label_id, without_marker
from tasks.core.opinions import Rating, rating_id
from tasks.core.releases import canonical_json

FeedbackKind = Literal["boolean", "float", "comment", "demonstration"]


@dataclass(frozen=True, slots=True)
class Response:
    """An answer as it was given."""

    id: str  # as the client has it: chatcmpl-…
    assistant: str
    release: str
    snapshot: int
    pattern: str
    question: str
    answer: str
    documents: tuple[str, ...]  # cited; sorted


@dataclass(frozen=True, slots=True)
class Feedback:
    """What one person said of one answer. value: bool, a number from 0 to 1, or text, as the kind says."""

    response: str
    kind: FeedbackKind
    value: bool | float | str
    user: str | None = None

    @property
    def id(self) -> str:
        """`f-` + 16 hex digits: the same said again by the same person is the same feedback."""
        said = canonical_json([self.response, self.kind, self.value, self.user])
        return "f-" + hashlib.sha256(said.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of feedback. counted: not said before. became: the label or rating it made or changed."""

    id: str
    counted: bool
    became: str | None
    response: Response


def demonstrated(response: Response, feedback: Feedback) -> Label:
    """The label of an ideal answer that somebody wrote: pending, on the pages that the given answer cites."""
    answer = without_marker(str(feedback.value))
    return Label(
        id=label_id(response.question, answer, response.documents),
        question=response.question,
        answer=answer,
        documents=response.documents,
        unanswerable=False,
        facts=(),
        split=None,
        state="pending",
        reason=f"{_who(feedback)} wrote this instead of the answer of release {response.release}",
        contributor=feedback.user,
    )


def rated(response: Response, feedback: Feedback, comment: str | None) -> Rating:
    """The rating that a thumb or a number makes: pending."""
    answer = without_marker(response.answer)
    return Rating(
        id=rating_id(response.question, answer, response.documents, feedback.user),
        question=response.question,
        answer=answer,
        value=float(feedback.value),
        documents=response.documents,
        split=None,
        state="pending",
        comment=comment,
        release=response.release,
        reason=f"{_who(feedback)} rated the answer of release {response.release}",
        contributor=feedback.user,
    )


def _who(feedback: Feedback) -> str:
    return feedback.user or "somebody"
