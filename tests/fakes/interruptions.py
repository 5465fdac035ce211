"""Ports that end a run at a chosen call: in this process with PowerCut, or for good with SIGKILL."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from tasks.documents import DocumentsBench

PORTS = ("catalog", "cache", "leases", "index", "parser", "embedder")


class PowerCut(BaseException):
    """Nothing in between may catch it, as nothing can catch a kill."""


def cut_power() -> None:
    """Ends the run, not the process: the steps' own clean-up still runs."""
    raise PowerCut


def kill_process() -> None:
    """Ends the process, with no chance to clean up."""
    os.kill(os.getpid(), signal.SIGKILL)


class Countdown:
    """Does what ends a run at the n-th call that is counted."""

    def __init__(self, calls: int, end: Callable[[], None]) -> None:
        self._left = calls
        self._end = end

    def tick(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._end()


class Watched:
    """A port whose every call is counted before it begins, and once more after it is done."""

    def __init__(self, port: Any, countdown: Countdown) -> None:
        self._port = port
        self._countdown = countdown

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self._countdown.tick()
            result = found(*args, **kwargs)
            self._countdown.tick()
            return result

        return call


def ending_at(
    bench: DocumentsBench, calls: int, end: Callable[[], None], ports: Sequence[str] = PORTS
) -> DocumentsBench:
    """The bench whose n-th call of any of the ports ends the run."""
    countdown = Countdown(calls, end)
    return replace(bench, **{name: Watched(getattr(bench, name), countdown) for name in ports})
