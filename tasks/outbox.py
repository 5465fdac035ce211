"""Telling others what the catalog has committed to tell: a nudge that may be repeated, then a mark that it was.

Most notices are told one by one. Changes of documents are told together: a refresh reads the sources as they are, so
one run is enough for every change that was noted before it began. Which changes a telling is about is committed before
anybody is told, so a kill in between tells the same ones again, under the same key, and later ones under another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

from pydantic import JsonValue

THRESHOLD_REACHED = "labels.threshold-reached"
DOCS_CHANGED = "docs.changed"
MODEL_RETIRING = "model.retiring"  # no flow acts on it: people are told by its event
FLOW_OF_TOPIC = {THRESHOLD_REACHED: "retrain-model", DOCS_CHANGED: "refresh-assistant"}
TOLD_TOGETHER = frozenset({DOCS_CHANGED})


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that was committed to the catalog and has to be told. key: the same cause has the same."""

    key: str
    assistant: str
    topic: str
    payload: Mapping[str, JsonValue]  # ids and numbers, never contents
    created_at: str
    telling: str | None = None  # the key under which it is told together with others, once that is decided


class Outbox(Protocol):
    """Notices that wait to be told. They are put by whoever changes the catalog, in the same transaction."""

    def assistants(self) -> list[str]:
        """Those with notices that wait, sorted."""

    def pending(self, assistant: str) -> list[Notice]:
        """Those that were not told yet, oldest first."""

    def tell_together(self, keys: Sequence[str], telling: str) -> None:
        """Decides that these are told under one key. A notice for which that is decided already stays as it is."""

    def delivered(self, key: str) -> None:
        """Notes that it was told, or is not worth telling any more. Doing so again changes nothing."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Somebody who can be told now. waiting: the key of what was told before and is not acted on yet."""

    waiting: str | None = None


Nudge = Callable[[Notice], Awaitable[bool]]
"""Tells one notice, under its key, so that telling it twice does one thing; whether there was anybody to tell."""

Find = Callable[[str, str], Awaitable[Listener | None]]
"""Who could be told about this topic of this assistant at this moment; None: nobody."""


async def somebody(_assistant: str, _topic: str) -> Listener | None:
    """Find for where nothing is known of what was told before."""
    return Listener()


async def deliver(outbox: Outbox, assistant: str, nudge: Nudge, find: Find = somebody) -> Sequence[Notice]:
    """The notices that were told. One that nobody could be told waits for the next time.

    A kill between telling and noting it tells it again: under the same key, which is why a nudge has one.
    """
    told: list[Notice] = []
    for alone in [notice for notice in outbox.pending(assistant) if notice.topic not in TOLD_TOGETHER]:
        if await nudge(alone):
            outbox.delivered(alone.key)
            told.append(alone)
    for topic in sorted(TOLD_TOGETHER):
        await _decide(outbox, assistant, topic, find)
        for notice, parts in _tellings(outbox.pending(assistant), topic):
            if await nudge(notice):
                for part in parts:
                    outbox.delivered(part.key)
                told.append(notice)
    return told


async def _decide(outbox: Outbox, assistant: str, topic: str, find: Find) -> None:
    """Changes that wait join what was told and has not begun; else they are a telling of their own."""
    fresh = [one.key for one in outbox.pending(assistant) if one.topic == topic and one.telling is None]
    listener = await find(assistant, topic) if fresh else None
    if listener is not None:
        outbox.tell_together(fresh, listener.waiting or telling_key(assistant, topic, fresh))


def telling_key(assistant: str, topic: str, keys: Sequence[str]) -> str:
    """From what it is about; begins with `telling_prefix`."""
    digest = hashlib.sha256("\n".join(sorted(keys)).encode()).hexdigest()[:32]
    return f"{telling_prefix(assistant, topic)}{digest}"


def telling_prefix(assistant: str, topic: str) -> str:
    """How the keys of all tellings of this topic begin."""
    return f"{topic}:{assistant}:"


def _tellings(pending: Sequence[Notice], topic: str) -> Iterator[tuple[Notice, list[Notice]]]:
    decided = sorted((one for one in pending if one.topic == topic and one.telling), key=lambda one: str(one.telling))
    for telling, group in groupby(decided, key=lambda one: str(one.telling)):
        parts = list(group)
        sources: list[JsonValue] = [*sorted({str(part.payload.get("source")) for part in parts})]
        payload: dict[str, JsonValue] = {"sources": sources, "changes": len(parts)}
        yield Notice(telling, parts[0].assistant, topic, payload, parts[0].created_at, telling), parts
