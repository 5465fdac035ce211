"""One engine per catalog URL. SQLite runs in WAL mode with a busy timeout; nothing else knows which engine it is."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url


@cache
def engine_for(url: str) -> Engine:
    """The engine for a SQLAlchemy URL; a SQLite file's folder is made."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True)
    if parsed.database and parsed.database != ":memory:":
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, connect_args={"timeout": 30, "check_same_thread": False})

    # The driver's own transaction handling starts transactions late and would let two writers deadlock at upgrade
    # time: BEGIN IMMEDIATE is issued by us for writes (see `writing`), plain BEGIN for reads.
    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        mode = connection.get_execution_options().get("sqlite_begin", "IMMEDIATE")
        connection.exec_driver_sql(f"BEGIN {mode}")

    return engine


def reading(engine: Engine) -> Engine:
    """The same engine, whose transactions only read: they never wait for a writer."""
    return engine.execution_options(sqlite_begin="DEFERRED")


def now() -> str:
    """This moment as the catalog writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
