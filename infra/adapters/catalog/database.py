"""One engine per catalog URL; nothing else knows which database it is.

Both databases promise the same: writers wait for each other from their first statement to their commit, and readers
wait for nobody and see one moment. So a decision made from what a writing transaction read still holds when it commits.
SQLite has this by BEGIN IMMEDIATE and WAL, PostgreSQL by one advisory lock and REPEATABLE READ.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError

from tasks.core.errors import BadSetting, CatalogUnavailable

BUSY_SECONDS = 30.0
WRITERS = 0x7261746368657421  # PostgreSQL's advisory lock of whoever writes, in each database its own


@cache
def engine_for(url: str, busy_seconds: float = BUSY_SECONDS) -> Engine:
    """The engine for a SQLAlchemy URL; a SQLite file's folder is made.

    Whatever the database itself cannot do just now (locked for `busy_seconds`, disk full, file not writable, server
    gone) is raised as CatalogUnavailable.
    """
    try:
        parsed = make_url(url)
        if parsed.drivername in ("postgres", "postgresql"):
            parsed = parsed.set(drivername="postgresql+psycopg")  # the driver that ratchet[postgres] installs
        parsed.get_dialect()
    except ArgumentError as error:  # and its kin, a dialect that is not installed
        raise BadSetting(f"RATCHET_DATABASE_URL is not a database URL that can be used: {error}.") from error
    if parsed.get_backend_name() == "sqlite":
        engine = _sqlite(parsed.database, url, busy_seconds)
    elif parsed.get_backend_name() == "postgresql":
        engine = _postgresql(parsed, busy_seconds)
    else:
        raise BadSetting(f"RATCHET_DATABASE_URL names {parsed.get_backend_name()}; there are sqlite and postgresql.")
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
        if connection.get_execution_options().get("ratchet_durable"):
            connection.exec_driver_sql("PRAGMA synchronous=FULL")
        connection.exec_driver_sql("BEGIN DEFERRED" if _reads(connection) else "BEGIN IMMEDIATE")

    return engine


def _postgresql(url: URL, busy_seconds: float) -> Engine:
    try:
        engine = create_engine(url, pool_pre_ping=True)
    except ModuleNotFoundError as error:
        raise BadSetting(
            f"RATCHET_DATABASE_URL needs {error.name}, which is not installed: pip install 'ratchet[postgres]'."
        ) from error

    # With row locks alone two writers can both find that a row is not there yet, and both add it.
    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        if _reads(connection):
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        else:
            waiting = f"{int(busy_seconds * 1000)}ms"
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{waiting}'")
            if connection.get_execution_options().get("ratchet_durable"):
                connection.exec_driver_sql("SET LOCAL synchronous_commit = on")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITERS})")

    return engine


def _translate(context: ExceptionContext) -> None:
    if type(context.sqlalchemy_exception) in (OperationalError, DatabaseError):  # not their kin: those are our mistakes
        file = context.engine.url.database if context.engine and context.dialect.name == "sqlite" else None
        where = f" ({file})" if file else ""
        raise CatalogUnavailable(
            f"The catalog cannot be used just now: {context.original_exception}{where}. Try again; if it stays so, "
            "look for a stuck process, a full disk, missing rights or a damaged file."
        ) from context.original_exception


def reading(engine: Engine) -> Engine:
    """The same engine, whose transactions only read: they never wait for a writer."""
    return engine.execution_options(ratchet_reads=True)


def _reads(connection: Any) -> bool:
    return bool(connection.get_execution_options().get("ratchet_reads"))


def durable(engine: Engine) -> Engine:
    """The same engine, whose commits are on the disk when they return, so that a power cut does not undo them.

    SQLite's WAL waits for that only when it is told to, some milliseconds each time; PostgreSQL does by default.
    """
    return engine.execution_options(ratchet_durable=True)


def now() -> str:
    """This moment as the catalog writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
