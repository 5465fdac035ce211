"""Telling what waits: once each, and again only where nobody could hear it or know that it was heard."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tasks.outbox import Notice, deliver


@dataclass
class MemoryOutbox:
    waiting: dict[str, Notice] = field(default_factory=dict)

    def put(self, *keys: str) -> None:
        self.waiting |= {key: Notice(key, "default", "labels.threshold-reached", {}, "now") for key in keys}

    def pending(self, assistant: str) -> list[Notice]:
        return [notice for notice in self.waiting.values() if notice.assistant == assistant]

    def delivered(self, key: str) -> None:
        self.waiting.pop(key, None)


async def test_what_was_told_is_not_told_again_and_what_nobody_heard_is() -> None:
    outbox, told = MemoryOutbox(), []
    outbox.put("a", "b", "c")

    async def nudge(notice: Notice) -> bool:
        told.append(notice.key)
        return notice.key != "b"

    assert [notice.key for notice in await deliver(outbox, "default", nudge)] == ["a", "c"]
    await deliver(outbox, "default", nudge)
    assert told == ["a", "b", "c", "b"]
    assert await deliver(outbox, "other", nudge) == []


async def test_a_kill_before_it_is_noted_tells_it_again_under_the_same_key() -> None:
    outbox, told = MemoryOutbox(), []
    outbox.put("a")

    async def killed(notice: Notice) -> bool:
        told.append(notice.key)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await deliver(outbox, "default", killed)
    assert [notice.key for notice in outbox.pending("default")] == told == ["a"]
