"""Whom work tells how far it is: what is begun inside `showing` finds it by `shown_progress`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from tasks.core.ports import Progress

_shown: ContextVar[Progress | None] = ContextVar("progress", default=None)


@contextmanager
def showing(progress: Progress) -> Iterator[None]:
    """Work that is begun inside reports how far it is to `progress`."""
    token = _shown.set(progress)
    try:
        yield
    finally:
        _shown.reset(token)


def shown_progress() -> Progress | None:
    """Whom to tell how far the work is."""
    return _shown.get()
