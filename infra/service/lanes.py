"""Threads with a short line in front: blocking work leaves the event loop, and too much of it is turned away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from tasks.core.errors import WorthRetrying

T = TypeVar("T")


class TooBusy(WorthRetrying):
    """The line is full."""


class Lane:
    """`threads` workers, and at most `waiting` calls in line for them."""

    def __init__(self, name: str, *, threads: int, waiting: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._room = threads + waiting
        self._inside = 0
        self._lock = Lock()

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns. Cancelled while it waits, it never runs; once it runs, it runs to its end.

        Raises TooBusy when the line is full.
        """
        with self._lock:
            if self._inside >= self._room:
                raise TooBusy(f"{self._inside} requests are being worked on or waiting, which is the limit. Try again.")
            self._inside += 1
        future = self._pool.submit(work)
        future.add_done_callback(self._leave)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Forgets what is waiting."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _leave(self, _future: Future[T]) -> None:
        with self._lock:
            self._inside -= 1


async def while_connected(request: Request, work: Awaitable[T]) -> T:
    """The work's result; cancels it and raises ClientDisconnect when the caller hangs up first.

    The request's body must have been read: what still comes in then can only be the hanging up.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        gone.cancel()
        task.cancel()


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
