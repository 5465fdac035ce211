"""Comments on answers: what people wrote of one, and where a reviewer sees it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
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


def by_item(comments: Iterable[Comment]) -> Mapping[str, Sequence[Comment]]:
    """By label or rating, those on the answer that it came from, whoever wrote them, read or not."""
    found: dict[str, list[Comment]] = {}
    for one in comments:
        for item in one.made:
            found.setdefault(item, []).append(one)
    return found


def on_their_own(comments: Iterable[Comment], pending: Collection[str]) -> tuple[Comment, ...]:
    """Unread ones that stand beside nothing that waits: nobody rated the answer, or that was decided before."""
    waiting = frozenset(pending)
    return tuple(one for one in comments if not one.read and not waiting & one.made)
