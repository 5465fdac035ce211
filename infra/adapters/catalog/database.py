"""One engine per catalog URL. SQLite runs in WAL mode with a busy timeout; nothing else knows which engine it is."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError

from tasks.core.errors import BadSetting, CatalogUnavailable

BUSY_SECONDS = 30.0


@cache
def engine_for(url: str, busy_seconds: float = BUSY_SECONDS) -> Engine:
    """The engine for a SQLAlchemy URL; a SQLite file's folder is made.

    Whatever the database itself cannot do just now (locked for `busy_seconds`, disk full, file not writable, server
    gone) is raised as CatalogUnavailable.
    """
    try:
        parsed = make_url(url)
        parsed.get_dialect()
    except ArgumentError as error:  # and its kin, a dialect that is not installed
        raise BadSetting(f"RATCHET_DATABASE_URL is not a database URL that can be used: {error}.") from error
    if parsed.get_backend_name() == "sqlite":
        engine = _sqlite(parsed.database, url, busy_seconds)
    else:
        engine = create_engine(parsed, pool_pre_ping=True)
    event.listen(engine, "handle_error", _translate)
    return engine


def _sqlite(file: str | None, url: str, busy_seconds: float) -> Engine:
    if file and file != ":memory:":
        try:
            Path(file).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CatalogUnavailable(
                f"{Path(file).parent} cannot be made: {error.strerror}. Set RATCHET_HOME to a folder you may write to."
            ) from error
    engine = create_engine(url, connect_args={"timeout": busy_seconds, "check_same_thread": False})

    # The driver's own transaction handling starts transactions late and would let two writers deadlock at upgrade
    # time: BEGIN IMMEDIATE is issued by us for writes, BEGIN DEFERRED for reads (see `reading`).
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
        options = connection.get_execution_options()
        if options.get("sqlite_durable"):
            connection.exec_driver_sql("PRAGMA synchronous=FULL")
        mode = options.get("sqlite_begin", "IMMEDIATE")
        connection.exec_driver_sql(f"BEGIN {mode}")

    return engine


def _translate(context: ExceptionContext) -> None:
    if type(context.sqlalchemy_exception) in (OperationalError, DatabaseError):  # not their kin: those are our mistakes
        raise CatalogUnavailable(
            f"The catalog cannot be used just now: {context.original_exception}. Try again; if it stays so, look for a "
            "stuck process, a full disk, missing rights or a damaged file."
        ) from context.original_exception


def reading(engine: Engine) -> Engine:
    """The same engine, whose transactions only read: they never wait for a writer."""
    return engine.execution_options(sqlite_begin="DEFERRED")


def durable(engine: Engine) -> Engine:
    """The same engine, whose commits are on the disk when they return, so that a power cut does not undo them.

    SQLite's WAL waits for that only when it is told to, some milliseconds each time; servers do it anyway.
    """
    return engine.execution_options(sqlite_durable=True)


def now() -> str:
    """This moment as the catalog writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
