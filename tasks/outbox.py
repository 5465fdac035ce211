"""Telling others what the catalog has committed to tell: a nudge that may be repeated, then a mark that it was."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pydantic import JsonValue

THRESHOLD_REACHED = "labels.threshold-reached"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that was committed to the catalog and has to be told. key: the same cause has the same."""

    key: str
    assistant: str
    topic: str
    payload: Mapping[str, JsonValue]  # ids and numbers, never contents
    created_at: str


class Outbox(Protocol):
    """Notices that wait to be told. They are put by whoever changes the catalog, in the same transaction."""

    def pending(self, assistant: str) -> list[Notice]:
        """Those that were not told yet, oldest first."""

    def delivered(self, key: str) -> None:
        """Notes that it was told, or is not worth telling any more. Doing so again changes nothing."""


Nudge = Callable[[Notice], Awaitable[bool]]
"""Tells one notice, under its key, so that telling it twice does one thing; whether there was anybody to tell."""


async def deliver(outbox: Outbox, assistant: str, nudge: Nudge) -> Sequence[Notice]:
    """The notices that were told. One that nobody could be told waits for the next time.

    A kill between telling and noting it tells it again: under the same key, which is why a nudge has one.
    """
    told = []
    for notice in outbox.pending(assistant):
        if await nudge(notice):
            outbox.delivered(notice.key)
            told.append(notice)
    return told
