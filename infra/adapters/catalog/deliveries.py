"""Webhooks that were taken, each once, together with the notices they led to."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, delete, insert, select
from sqlalchemy.exc import IntegrityError

from infra.adapters.catalog import tables as t
from infra.adapters.catalog.database import durable, reading
from infra.adapters.catalog.outbox import put
from tasks.core.document_catalog import RegisteredSource
from tasks.core.source_changes import Concern
from tasks.outbox import DOCS_CHANGED

TRIES = 3  # two writers of the same rows: one of them finds out at the end, and looks again


class CatalogDeliveries:
    """What the receiver asks of the catalog. Every write is one transaction, committed when it returns."""

    def __init__(self, engine: Engine, memory_seconds: float, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._memory_seconds = memory_seconds
        self._clock = clock

    def sources(self) -> list[tuple[str, RegisteredSource]]:
        """Every registered source with its assistant."""
        s = t.sources.c
        query = select(s.assistant, s.name, s.uri, s.include, s.exclude).order_by(s.assistant, s.added_at, s.name)
        with reading(self._engine).begin() as connection:
            return [
                (row.assistant, RegisteredSource(row.name, row.uri, tuple(row.include), tuple(row.exclude)))
                for row in connection.execute(query)
            ]

    def is_known(self, route: str, marks: Sequence[str]) -> bool:
        """Whether a delivery with one of these marks was taken before, as far back as is remembered."""
        with reading(self._engine).begin() as connection:
            return _is_known(connection, route, marks)

    def take(self, route: str, marks: Sequence[str], concerns: Sequence[Concern]) -> list[str] | None:
        """The keys of the notices that are new; None when the delivery was taken before, and nothing is written."""
        for left in reversed(range(TRIES)):
            try:
                return self._take(route, marks, concerns)
            except IntegrityError:
                if not left:
                    raise
        raise AssertionError

    def _take(self, route: str, marks: Sequence[str], concerns: Sequence[Concern]) -> list[str] | None:
        now = self._clock()
        with durable(self._engine).begin() as connection:
            if _is_known(connection, route, marks):
                return None
            _forget(connection, now - self._memory_seconds)
            rows = [{"route": route, "mark": mark, "received_at": now} for mark in dict.fromkeys(marks)]
            if rows:
                connection.execute(insert(t.webhook_deliveries), rows)
            return [one.key for one in concerns if put(connection, one.assistant, DOCS_CHANGED, one.key, one.payload)]


def _forget(connection: Connection, before: float) -> None:
    """What came before that moment; of notices those that were told. What is as old as that is not taken any more."""
    connection.execute(delete(t.webhook_deliveries).where(t.webhook_deliveries.c.received_at < before))
    moment, row = datetime.fromtimestamp(max(0.0, before), UTC).isoformat(timespec="milliseconds"), t.outbox.c
    connection.execute(delete(t.outbox).where(row.topic == DOCS_CHANGED, row.delivered_at < moment))


def _is_known(connection: Connection, route: str, marks: Sequence[str]) -> bool:
    row = t.webhook_deliveries.c
    query = select(row.mark).where(row.route == route, row.mark.in_(marks)).limit(1)
    return connection.scalar(query) is not None
