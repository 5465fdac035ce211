"""Releases, the current pointer and its append-only history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, Engine, RowMapping, func, insert, select, update

from infra.adapters.catalog import tables as t
from infra.adapters.catalog.anchors import set_first_anchor
from infra.adapters.catalog.database import now, reading
from tasks.core.errors import NotFound
from tasks.core.pace import Blessing
from tasks.core.promotion import Promotion, Standing
from tasks.core.releases import ReleaseManifest
from tasks.releases import ReleaseRow


class CatalogReleases:
    """ReleaseCatalog on SQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def register(self, manifest: ReleaseManifest, cause: str) -> ReleaseRow:
        with self._engine.begin() as connection:
            ensure_assistant(connection, manifest.assistant)
            found = _find(connection, manifest.assistant, manifest.id)
            if found is not None:
                return found
            created = now()
            newest = select(func.coalesce(func.max(t.releases.c.seq), 0)).where(
                t.releases.c.assistant == manifest.assistant
            )
            connection.execute(
                insert(t.releases).values(
                    assistant=manifest.assistant,
                    id=manifest.id,
                    manifest=manifest.model_dump(mode="json"),
                    cause=cause,
                    seq=(connection.scalar(newest) or 0) + 1,
                    created_at=created,
                )
            )
        return ReleaseRow(manifest.id, manifest, cause, created)

    def assistants(self) -> list[str]:
        """Every assistant of the catalog, sorted."""
        with reading(self._engine).begin() as connection:
            return sorted(connection.scalars(select(t.assistants.c.name)))

    def release(self, assistant: str, release: str) -> ReleaseRow:
        with reading(self._engine).begin() as connection:
            found = _find(connection, assistant, release)
        if found is None:
            raise NotFound(f"Assistant {assistant} has no release {release}. See `ratchet releases`.", release=release)
        return found

    def releases(self, assistant: str) -> list[ReleaseRow]:
        query = select(t.releases).where(t.releases.c.assistant == assistant).order_by(t.releases.c.seq.desc())
        with reading(self._engine).begin() as connection:
            return [_row(row) for row in connection.execute(query).mappings()]

    def standing(self, assistant: str) -> Standing:
        current = select(t.assistants.c.current_release).where(t.assistants.c.name == assistant)
        newest = (
            select(t.promotions.c.unproven)
            .where(t.promotions.c.assistant == assistant)
            .order_by(t.promotions.c.seq.desc())
            .limit(1)
        )
        with reading(self._engine).begin() as connection:
            return Standing(connection.scalar(current), bool(connection.scalar(newest)))

    def history(self, assistant: str) -> list[Promotion]:
        query = select(t.promotions).where(t.promotions.c.assistant == assistant).order_by(t.promotions.c.seq)
        with reading(self._engine).begin() as connection:
            return [_promotion(row) for row in connection.execute(query).mappings()]

    def move_pointer(
        self,
        assistant: str,
        release: str,
        *,
        expected: str | None,
        kind: str,
        evaluation: str | None,
        unproven: bool,
        who: str,
        reason: str,
        newest: int | None = None,
        overridden: Sequence[str] = (),
        approved_by: str | None = None,
        rehearsal: Blessing | None = None,
    ) -> Promotion | None:
        pointer = t.assistants.c.current_release
        seen = pointer.is_(None) if expected is None else pointer == expected
        with self._engine.begin() as connection:
            if _is_reclaimed(connection, assistant, release):
                return None
            if newest is not None and _newest(connection, assistant) != newest:
                return None
            moved = connection.execute(
                update(t.assistants).where(t.assistants.c.name == assistant, seen).values(current_release=release)
            )
            if moved.rowcount != 1:
                return None
            values = {
                "assistant": assistant,
                "release": release,
                "previous": expected,
                "kind": kind,
                "evaluation": evaluation,
                "unproven": unproven,
                "who": who,
                "reason": reason,
                "at": now(),
                "overridden": list(overridden),
                "approved_by": approved_by,
                "rehearsal": asdict(rehearsal) if rehearsal else None,
            }
            added = connection.execute(insert(t.promotions).values(**values).returning(t.promotions))
            if kind == "promote" and not unproven:
                set_first_anchor(connection, assistant, release, who, "the first release that proved itself")
            return _promotion(added.mappings().one())


def ensure_assistant(connection: Connection, name: str) -> None:
    """The assistant's row, made the first time anything is registered for it."""
    known = connection.scalar(select(t.assistants.c.name).where(t.assistants.c.name == name))
    if known is None:
        connection.execute(insert(t.assistants).values(name=name, created_at=now()))


def _is_reclaimed(connection: Connection, assistant: str, release: str) -> bool:
    """Whether vacuum reclaimed the release's snapshot since that was checked: both lock the assistant's row."""
    connection.execute(select(t.assistants.c.name).where(t.assistants.c.name == assistant).with_for_update())
    found = _find(connection, assistant, release)
    if found is None:
        return False
    s = t.snapshots.c
    state = select(s.state).where(s.assistant == assistant, s.number == found.manifest.snapshot.number)
    return connection.scalar(state) == "reclaimed"


def _newest(connection: Connection, assistant: str) -> int:
    """Seq of the newest row of the history; 0 when there is none."""
    newest = select(func.coalesce(func.max(t.promotions.c.seq), 0)).where(t.promotions.c.assistant == assistant)
    return connection.scalar(newest) or 0


def _find(connection: Connection, assistant: str, release: str) -> ReleaseRow | None:
    query = select(t.releases).where(t.releases.c.assistant == assistant, t.releases.c.id == release)
    row = connection.execute(query).mappings().one_or_none()
    return _row(row) if row else None


def _row(row: RowMapping) -> ReleaseRow:
    return ReleaseRow(row["id"], ReleaseManifest.model_validate(row["manifest"]), row["cause"], row["created_at"])


def _promotion(row: RowMapping) -> Promotion:
    return Promotion(
        seq=row["seq"],
        release=row["release"],
        previous=row["previous"],
        kind=row["kind"],
        evaluation=row["evaluation"],
        unproven=row["unproven"],
        who=row["who"],
        reason=row["reason"],
        at=row["at"],
        overridden=tuple(row["overridden"]),
        approved_by=row["approved_by"],
        rehearsal=Blessing(**row["rehearsal"]) if row["rehearsal"] else None,
    )
