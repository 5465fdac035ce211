"""An honest fake of Prefect's runs: one per idempotency key; it can be away, or be killed before it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tasks.outbox import Listener, Notice, telling_prefix


class Killed(BaseException):
    """The process that told is gone."""


@dataclass
class FakePrefect:
    """Nudge and Find. away: nobody answers. dies: the next run is made, and whoever asked for it dies unanswered."""

    away: bool = False
    lost: bool = False  # the next run is made, and the answer is lost
    dies: bool = False
    runs: dict[str, int] = field(default_factory=dict)  # key → how often it was asked for
    begun: dict[str, int] = field(default_factory=dict)  # key → the moment
    moment: Callable[[], int] = lambda: 0

    async def find(self, assistant: str, topic: str) -> Listener | None:
        prefix = telling_prefix(assistant, topic)
        waiting = (key for key in self.runs if key not in self.begun and key.startswith(prefix))
        return None if self.away else Listener(next(waiting, None))

    async def nudge(self, notice: Notice) -> bool:
        if self.away:
            return False
        self.runs[notice.key] = self.runs.get(notice.key, 0) + 1
        if self.dies:
            self.dies = False
            raise Killed
        lost, self.lost = self.lost, False
        return not lost

    def begin(self) -> None:
        """Every run that waits begins: it reads the sources as they are at this moment."""
        for key in self.runs:
            self.begun.setdefault(key, self.moment())
