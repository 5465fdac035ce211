"""What has to be told to others: committed together with what made it so, told later, and told once."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue
from sqlalchemy import Connection, Engine, insert, select, update

from infra.adapters.catalog import tables as t
from infra.adapters.catalog.database import now, reading
from tasks.outbox import Notice


class CatalogOutbox:
    """Outbox on SQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def pending(self, assistant: str) -> list[Notice]:
        row = t.outbox.c
        query = select(t.outbox).where(row.assistant == assistant, row.delivered_at.is_(None)).order_by(row.seq)
        with reading(self._engine).begin() as connection:
            return [
                Notice(found["key"], found["assistant"], found["topic"], found["payload"], found["created_at"])
                for found in connection.execute(query).mappings()
            ]

    def delivered(self, key: str) -> None:
        with self._engine.begin() as connection:
            settle(connection, key)


def put(connection: Connection, assistant: str, topic: str, key: str, payload: Mapping[str, JsonValue]) -> None:
    """Adds a notice in the caller's transaction; one under the same key is there already and stays as it is."""
    if connection.scalar(select(t.outbox.c.seq).where(t.outbox.c.key == key)) is None:
        row = {"assistant": assistant, "topic": topic, "key": key, "payload": dict(payload), "created_at": now()}
        connection.execute(insert(t.outbox).values(**row))


def settle(connection: Connection, key: str) -> None:
    """Marks a notice as told, or as not worth telling any more, in the caller's transaction."""
    this = (t.outbox.c.key == key, t.outbox.c.delivered_at.is_(None))
    connection.execute(update(t.outbox).where(*this).values(delivered_at=now()))
