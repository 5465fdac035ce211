"""Doing something once for many calls that follow each other closely."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from tasks.core.errors import RatchetError

_log = logging.getLogger("ratchet.webhooks")

LONGEST_FACTOR = 3  # of the quiet time: calls that never stop are answered all the same
AGAIN_SECONDS, LONGEST_AGAIN_SECONDS = 20.0, 320.0


class Debounce:
    """Calls `act(name)` once it was quiet about that name for `quiet_seconds`, at the latest after three times that.

    What is called while it acts is acted on again afterwards. act: whether all is done; when it is not, or has failed,
    it is called again after `again_seconds`, and every time after twice as long, up to five minutes.
    """

    def __init__(
        self, act: Callable[[str], Awaitable[bool]], quiet_seconds: float, again_seconds: float = AGAIN_SECONDS
    ) -> None:
        self._act = act
        self._quiet_seconds = quiet_seconds
        self._again_seconds = again_seconds
        self._called_at: dict[str, float] = {}
        self._acting: dict[str, asyncio.Task[None]] = {}
        self._again: dict[str, asyncio.TimerHandle] = {}
        self._failures: dict[str, int] = {}

    def call(self, name: str) -> None:
        """Soon, from the event loop."""
        self._called_at[name] = time.monotonic()
        if name not in self._acting:
            self._acting[name] = asyncio.create_task(self._when_quiet(name))

    async def close(self) -> None:
        """Stops waiting. What was not acted on is not."""
        for later in self._again.values():
            later.cancel()
        acting = list(self._acting.values())
        for task in acting:
            task.cancel()
        await asyncio.gather(*acting, return_exceptions=True)

    async def _when_quiet(self, name: str) -> None:
        try:
            while name in self._called_at:
                latest = time.monotonic() + self._quiet_seconds * LONGEST_FACTOR
                while (left := min(latest, self._called_at[name] + self._quiet_seconds) - time.monotonic()) > 0:
                    await asyncio.sleep(left)
                del self._called_at[name]
                if await self._acted(name):
                    self._failures.pop(name, None)
                elif name not in self._called_at:
                    self._later(name)
        finally:
            del self._acting[name]

    async def _acted(self, name: str) -> bool:
        try:
            return await self._act(name)
        except RatchetError as error:
            _log.warning("%s is not told now: %s", name, error.message)
            return False

    def _later(self, name: str) -> None:
        if name in self._again:
            self._again[name].cancel()
        failures = self._failures.get(name, 0)
        self._failures[name] = failures + 1
        wait = min(LONGEST_AGAIN_SECONDS, self._again_seconds * 2 ** min(failures, 16))
        self._again[name] = asyncio.get_running_loop().call_later(wait, self.call, name)
