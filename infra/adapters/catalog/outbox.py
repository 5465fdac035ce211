"""What has to be told to others: committed together with what made it so, told later, and told once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import JsonValue
from sqlalchemy import Connection, Engine, insert, select, update

from infra.adapters.catalog import tables as t
from infra.adapters.catalog.database import now, reading
from tasks.outbox import Notice


class CatalogOutbox:
    """Outbox on SQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def assistants(self) -> list[str]:
        query = select(t.outbox.c.assistant).where(t.outbox.c.delivered_at.is_(None)).distinct()
        with reading(self._engine).begin() as connection:
            return sorted(connection.scalars(query))

    def pending(self, assistant: str) -> list[Notice]:
        row = t.outbox.c
        columns = (row.key, row.assistant, row.topic, row.payload, row.created_at, row.telling)
        query = select(*columns).where(row.assistant == assistant, row.delivered_at.is_(None)).order_by(row.seq)
        with reading(self._engine).begin() as connection:
            return [Notice(*found) for found in connection.execute(query)]

    def tell_together(self, keys: Sequence[str], telling: str) -> None:
        row = t.outbox.c
        with self._engine.begin() as connection:
            for key in keys:
                undecided = (row.key == key, row.telling.is_(None), row.delivered_at.is_(None))
                connection.execute(update(t.outbox).where(*undecided).values(telling=telling))

    def note(self, assistant: str, topic: str, key: str, payload: Mapping[str, JsonValue]) -> bool:
        with self._engine.begin() as connection:
            return put(connection, assistant, topic, key, payload)

    def delivered(self, key: str) -> None:
        with self._engine.begin() as connection:
            settle(connection, key)


def put(connection: Connection, assistant: str, topic: str, key: str, payload: Mapping[str, JsonValue]) -> bool:
    """Adds a notice in the caller's transaction; one under the same key is there already and stays as it is.

    Whether it was added.
    """
    if connection.scalar(select(t.outbox.c.seq).where(t.outbox.c.key == key)) is not None:
        return False
    row = {"assistant": assistant, "topic": topic, "key": key, "payload": dict(payload), "created_at": now()}
    connection.execute(insert(t.outbox).values(**row))
    return True


def settle(connection: Connection, key: str) -> None:
    """Marks a notice as told, or as not worth telling any more, in the caller's transaction."""
    this = (t.outbox.c.key == key, t.outbox.c.delivered_at.is_(None))
    connection.execute(update(t.outbox).where(*this).values(delivered_at=now()))
