"""A real PostgreSQL server for the tests that need one, from Debian's or anybody's packages, in a folder of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from sqlalchemy import NullPool, create_engine

HURRY = ("-F", "-c", "full_page_writes=off", "-c", "synchronous_commit=off", "-c", "max_connections=60")


def postgres_programs() -> Path | None:
    """The folder with initdb and pg_ctl of the newest PostgreSQL that is installed."""
    found = shutil.which("initdb")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda file: int(file.parts[-3]))
    files = [*debian, *([Path(found).resolve()] if found else [])]
    return files[-1].parent if files else None


def why_no_postgres() -> str | None:
    """What is missing, for the person who wants these tests to run."""
    if postgres_programs() is None:
        return "initdb is not installed (apt-get install postgresql, or brew install postgresql)"
    if os.geteuid() == 0 and _somebody_else() is None:
        return "PostgreSQL does not run as root, and there is no user postgres or nobody to run it as"
    try:
        import psycopg  # noqa: F401
    except ModuleNotFoundError:
        return "psycopg is not installed (pip install 'ratchet[postgres]')"
    return None


@contextmanager
def running_postgres() -> Iterator[str]:
    """URL of a server's empty database `postgres`; the server and its folder are gone after the block."""
    programs = postgres_programs()
    assert programs is not None
    # Not under pytest's folder: that one only its owner may enter, and the server has another user.
    folder = Path(tempfile.mkdtemp(prefix="ratchet-postgres-"))
    user = _somebody_else() if os.geteuid() == 0 else None
    if user:
        os.chown(folder, user.pw_uid, user.pw_gid)
    port = _free_port()

    def run(*command: str) -> None:
        who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": ()} if user else {}
        with (folder / "commands.log").open("ab") as log:
            done = subprocess.run(command, cwd=folder, stdout=log, stderr=log, check=False, **who)  # type: ignore[call-overload]
        if done.returncode:
            raise RuntimeError((folder / "commands.log").read_text()[-2000:])

    data, options = str(folder / "data"), " ".join((*HURRY, "-p", str(port), "-h", "127.0.0.1", "-k", str(folder)))
    try:
        run(
            str(programs / "initdb"), "-D", data, "-U", "ratchet", "-A", "trust", "-E", "UTF8", "-N", "--locale=C.UTF-8"
        )
        run(str(programs / "pg_ctl"), "-D", data, "-w", "-l", str(folder / "server.log"), "-o", options, "start")
        yield f"postgresql://ratchet@127.0.0.1:{port}/postgres"
    finally:
        with suppress(RuntimeError):
            run(str(programs / "pg_ctl"), "-D", data, "-w", "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def on_server(url: str, statement: str) -> None:
    """Runs one statement outside a transaction, as CREATE DATABASE wants it."""
    engine = create_engine(
        url.replace("postgresql:", "postgresql+psycopg:"), poolclass=NullPool, isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)


def with_database(url: str, name: str) -> str:
    """The same server's URL with another database."""
    return f"{url.rpartition('/')[0]}/{name}"


def migrated_copy(server: str) -> str:
    """URL of a new catalog: a copy of the server's database `migrated`."""
    name = f"c{uuid4().hex}"
    on_server(server, f"CREATE DATABASE {name} TEMPLATE migrated")
    return with_database(server, name)


def _somebody_else() -> pwd.struct_passwd | None:
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    return None


def _free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
