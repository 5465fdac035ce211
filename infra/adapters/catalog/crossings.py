"""Crossings of the threshold, noted in the transaction of whatever changed the labels or consumed them."""

from __future__ import annotations

import hashlib

from sqlalchemy import Connection, func, insert, select, update

from infra.adapters.catalog import tables as t
from infra.adapters.catalog.database import now
from infra.adapters.catalog.outbox import put, settle
from tasks.core.crossings import Crossing, step
from tasks.outbox import THRESHOLD_REACHED


def note_crossing(connection: Connection, assistant: str, threshold: int | None = None) -> bool:
    """Closes and opens what has to be, in the caller's transaction; whether a crossing opened, and so is to be told.

    threshold: None takes that of the crossing which is open, and does nothing without one.
    """
    row, is_open = t.crossings.c, _open(connection, assistant)
    if threshold is None:
        if is_open is None:
            return False
        this = select(row.threshold).where(row.assistant == assistant, row.number == is_open.number)
        threshold = connection.scalar(this) or 1
    new = new_labels(connection, assistant)
    decided = step(is_open, new, threshold)
    if is_open is not None and decided.close is not None:
        _close(connection, assistant, is_open, decided.close)
    if decided.opens:
        _open_next(connection, assistant, frozenset(new), threshold)
    return decided.opens


def consumed(connection: Connection, assistant: str) -> frozenset[str]:
    """Ids of labels that a succeeded training was made from."""
    row = t.trainings.c
    query = select(row.label_ids).where(row.assistant == assistant, row.state == "succeeded")
    return frozenset(label for ids in connection.scalars(query) for label in ids)


def new_labels(connection: Connection, assistant: str) -> set[str]:
    """Ids of accepted training labels that no succeeded training was made from."""
    row = t.labels.c
    query = select(row.id).where(row.assistant == assistant, row.state == "accepted", row.split == "train")
    return set(connection.scalars(query)) - consumed(connection, assistant)


def _open(connection: Connection, assistant: str) -> Crossing | None:
    row = t.crossings.c
    query = select(row.number, row.label_ids).where(row.assistant == assistant, row.closed_at.is_(None))
    found = connection.execute(query).first()
    return Crossing(found.number, frozenset(found.label_ids)) if found else None


def _close(connection: Connection, assistant: str, crossing: Crossing, why: str) -> None:
    this = (t.crossings.c.assistant == assistant, t.crossings.c.number == crossing.number)
    connection.execute(update(t.crossings).where(*this).values(closed_at=now(), closed_because=why))
    settle(connection, _key(assistant, crossing.number, crossing.label_ids))  # whoever was to be told need not be


def _open_next(connection: Connection, assistant: str, new: frozenset[str], threshold: int) -> None:
    row = t.crossings.c
    number = (connection.scalar(select(func.max(row.number)).where(row.assistant == assistant)) or 0) + 1
    values = {"assistant": assistant, "number": number, "threshold": threshold, "label_ids": sorted(new)}
    connection.execute(insert(t.crossings).values(**values, opened_at=now()))
    payload = {"crossing": number, "new": len(new), "threshold": threshold}
    put(connection, assistant, THRESHOLD_REACHED, _key(assistant, number, new), payload)


def _key(assistant: str, number: int, labels: frozenset[str]) -> str:
    """From what crossed: the same labels crossing for the same time are told under the same key."""
    digest = hashlib.sha256("\n".join(sorted(labels)).encode()).hexdigest()[:16]
    return f"{THRESHOLD_REACHED}:{assistant}:{number}:{digest}"
