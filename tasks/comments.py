"""Steps that show comments on answers to whoever reviews, and put them away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tasks.core.comments import Comment, beside
from tasks.core.errors import NotFound


class CommentCatalog(Protocol):
    """What people wrote of answers."""

    def comments(self, assistant: str) -> list[Comment]:
        """All of them, read or not, oldest first."""

    def mark_read(self, assistant: str, comments: Sequence[str]) -> None:
        """Notes that these were read. Again changes nothing."""


@dataclass(frozen=True, slots=True)
class CommentBench:
    """What the steps need."""

    assistant: str
    catalog: CommentCatalog


def all_comments(bench: CommentBench) -> list[Comment]:
    """Read or not, oldest first."""
    return bench.catalog.comments(bench.assistant)


def put_away(bench: CommentBench, comment: str) -> Comment:
    """Marks one as read. Raises NotFound."""
    for one in all_comments(bench):
        if one.id == comment:
            bench.catalog.mark_read(bench.assistant, [comment])
            return one
    raise NotFound(f"There is no comment {comment}. See `ratchet labels review`.", comment=comment)


def put_away_beside(bench: CommentBench, decided: str) -> tuple[Comment, ...]:
    """Marks as read what stood beside a label or rating that was decided; the newly read ones.

    One that came after the reviewer looked is among them: say which they are.
    """
    fresh = tuple(one for one in beside(all_comments(bench), decided) if not one.read)
    bench.catalog.mark_read(bench.assistant, [one.id for one in fresh])
    return fresh
