"""The lease on an assistant's documents: one row, taken by compare-and-set, with a token that only grows."""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, Engine, insert, select, update

from infra.adapters.catalog import tables as t
from tasks.core.document_catalog import Lease
from tasks.core.errors import AssistantBusy, LeaseLost


class CatalogLeases:
    """Leases on SQL. `clock` gives seconds since the epoch."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock

    def acquire(self, name: str, seconds: float) -> Lease:
        holder, now = f"{_this_process()} {uuid.uuid4().hex[:8]}", self._clock()
        mine = {"holder": holder, "expires_at": now + seconds}
        with self._engine.begin() as connection:
            row = connection.execute(select(t.leases).where(t.leases.c.name == name).with_for_update()).one_or_none()
            if row is None:
                connection.execute(insert(t.leases).values(name=name, token=1, **mine))
                return Lease(name, holder, 1)
            if row.expires_at > now and not _is_gone(row.holder):
                until = datetime.fromtimestamp(row.expires_at, UTC).isoformat(timespec="seconds")
                raise AssistantBusy(
                    f"Another run holds {name} until {until}, unless it renews: {_in_words(row.holder)}. "
                    "Wait for it, or stop it and run again.",
                    holder=row.holder,
                    process=_in_words(row.holder),
                    expires_at=row.expires_at,
                )
            token = row.token + 1
            connection.execute(update(t.leases).where(t.leases.c.name == name).values(token=token, **mine))
            return Lease(name, holder, token)

    def renew(self, lease: Lease, seconds: float) -> None:
        with self._engine.begin() as connection:
            check_lease(connection, lease)
            connection.execute(
                update(t.leases).where(t.leases.c.name == lease.name).values(expires_at=self._clock() + seconds)
            )

    def release(self, lease: Lease) -> None:
        mine = (t.leases.c.name == lease.name, t.leases.c.token == lease.token)
        with self._engine.begin() as connection:
            connection.execute(update(t.leases).where(*mine).values(expires_at=0.0))


def check_lease(connection: Connection, lease: Lease) -> None:
    """Raises LeaseLost unless nobody took the lease since. For use inside the transaction that writes."""
    token = connection.scalar(select(t.leases.c.token).where(t.leases.c.name == lease.name).with_for_update())
    if token != lease.token:
        raise LeaseLost(
            f"Another run took over {lease.name} (its token is {token}, this run's is {lease.token}). "
            "This run stopped without publishing; nothing it wrote can be seen.",
            token=lease.token,
            current=token,
        )


def _this_process() -> str:
    return f"{_machine()} pid {os.getpid()} {_started(os.getpid())}"


def _machine() -> str:
    """Names the space in which process ids mean something: host, boot and process namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    try:
        return f"{socket.gethostname()}/{boot.read_text()[:8]}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:  # no /proc: macOS
        return socket.gethostname()


def _started(pid: int) -> str:
    """When a process started: a reused process id is not the old holder, and a zombie holds nothing."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "t"
    return "dead" if state == "Z" else f"t{fields[18]}"


def _in_words(holder: str) -> str:
    machine, _, rest = holder.partition(" pid ")
    return f"process {rest.split()[0]} on {machine.split('/')[0]}"


def _is_gone(holder: str) -> bool:
    """Whether the holder was a process of this machine that is no more: after a kill, the next run need not wait."""
    machine, _, rest = holder.partition(" pid ")
    if machine != _machine():
        return False
    pid, started, *_ = rest.split()
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return started != _started(int(pid))
