"""Comments on answers: what people wrote of one, and where a reviewer sees it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Comment:
    """What one person wrote of one answer. It trains nothing, and tells the reviewer why."""

    id: str  # `f-…`, as any feedback
    text: str
    who: str | None
    release: str  # that gave the answer
    question: str | None  # None: the answer is not remembered any more
    answer: str | None
    made: frozenset[str]  # labels and ratings that feedback on the same answer made
    read: bool  # decided with, or put away

    @property
    def sentence(self) -> str:
        """Who says what, on one line."""
        return f"{self.who or 'somebody'}: {' '.join(self.text.split())}"

    def as_json(self) -> dict[str, object]:
        """As it stands beside a label or a rating."""
        return {"id": self.id, "contributor": self.who, "text": self.text}


def beside(comments: Iterable[Comment], item: str) -> tuple[Comment, ...]:
    """Those on the answer that this label or rating came from, whoever wrote them, read or not."""
    return tuple(one for one in comments if item in one.made)


def on_their_own(comments: Iterable[Comment], pending: Collection[str]) -> tuple[Comment, ...]:
    """Unread ones that stand beside nothing that waits: nobody rated the answer, or that was decided before."""
    waiting = frozenset(pending)
    return tuple(one for one in comments if not one.read and not waiting & one.made)
