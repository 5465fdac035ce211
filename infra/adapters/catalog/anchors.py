"""Anchors: append-only; the newest row of an assistant counts."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, RowMapping, insert, select

from infra.adapters.catalog import tables as t
from infra.adapters.catalog.database import now, reading
from tasks.anchors import Anchoring
from tasks.core.releases import ReleaseManifest


class CatalogAnchors:
    """Anchors on SQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def anchor(self, assistant: str) -> str | None:
        with reading(self._engine).begin() as connection:
            return newest_anchor(connection, assistant)

    def anchorings(self, assistant: str) -> list[Anchoring]:
        query = select(t.anchors).where(t.anchors.c.assistant == assistant).order_by(t.anchors.c.seq)
        with reading(self._engine).begin() as connection:
            return [_anchoring(row) for row in connection.execute(query).mappings()]

    def set_anchor(self, assistant: str, release: str, *, who: str, reason: str) -> Anchoring | None:
        with self._engine.begin() as connection:
            if _is_reclaimed(connection, assistant, release):
                return None
            return _add(connection, assistant, release, who, reason)


def set_first_anchor(connection: Connection, assistant: str, release: str, who: str, reason: str) -> None:
    """Makes the release the anchor when the assistant has none, in the caller's transaction."""
    if newest_anchor(connection, assistant) is None:
        _add(connection, assistant, release, who, reason)


def newest_anchor(connection: Connection, assistant: str) -> str | None:
    """The release that is the anchor at this moment of the caller's transaction."""
    a = t.anchors.c
    return connection.scalar(select(a.release).where(a.assistant == assistant).order_by(a.seq.desc()).limit(1))


def _add(connection: Connection, assistant: str, release: str, who: str, reason: str) -> Anchoring:
    values = {"assistant": assistant, "release": release, "who": who, "reason": reason, "at": now()}
    added = connection.execute(insert(t.anchors).values(**values).returning(t.anchors))
    return _anchoring(added.mappings().one())


def _is_reclaimed(connection: Connection, assistant: str, release: str) -> bool:
    """Whether vacuum took the release's documents: both lock the assistant's row."""
    connection.execute(select(t.assistants.c.name).where(t.assistants.c.name == assistant).with_for_update())
    r, s = t.releases.c, t.snapshots.c
    kept = connection.scalar(select(r.manifest).where(r.assistant == assistant, r.id == release))
    if kept is None:
        return False
    number = ReleaseManifest.model_validate(kept).snapshot.number
    return connection.scalar(select(s.state).where(s.assistant == assistant, s.number == number)) == "reclaimed"


def _anchoring(row: RowMapping) -> Anchoring:
    return Anchoring(row["release"], row["who"], row["reason"], row["at"])
