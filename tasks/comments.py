"""Steps that show comments on answers to whoever reviews, and put them away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tasks.core.comments import Comment
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


def put_away(bench: CommentBench, *comments: str) -> None:
    """Marks them as read, all or, where one is unknown, none. Raises NotFound."""
    known = {one.id for one in all_comments(bench)} if comments else set()
    for one in comments:
        if one not in known:
            raise NotFound(f"There is no comment {one}. See `ratchet labels review`.", comment=one)
    bench.catalog.mark_read(bench.assistant, comments)


def put_away_beside(bench: CommentBench, *decided: str) -> tuple[Comment, ...]:
    """Marks as read what stood beside labels or ratings that were decided; the newly read ones, oldest first.

    One that came after the reviewer looked is among them: say which they are.
    """
    these = frozenset(decided)
    fresh = tuple(one for one in all_comments(bench) if these & one.made and not one.read) if decided else ()
    bench.catalog.mark_read(bench.assistant, [one.id for one in fresh])
    return fresh
