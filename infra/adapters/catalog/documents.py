"""Sources, documents, chunks and snapshots: which are live, which were, and the transaction that publishes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Table, bindparam, delete, insert, or_, select, update

from infra.adapters.catalog import tables as t
from infra.adapters.catalog.database import now, reading
from infra.adapters.catalog.leases import check_lease
from infra.adapters.catalog.releases import ensure_assistant
from tasks.core.document_catalog import (
    Accounts,
    ChunkLife,
    Hint,
    Lease,
    LiveDocument,
    Publication,
    Quarantined,
    RegisteredSource,
)
from tasks.core.documents import Chunk, Snapshot
from tasks.core.errors import LeaseLost


class CatalogDocuments:
    """DocumentCatalog on SQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def sources(self, assistant: str) -> tuple[RegisteredSource, ...]:
        query = select(t.sources).where(t.sources.c.assistant == assistant)
        with reading(self._engine).begin() as connection:
            rows = connection.execute(query.order_by(t.sources.c.added_at, t.sources.c.name)).all()
        return tuple(RegisteredSource(row.name, row.uri) for row in rows)

    def published(self, assistant: str, number: int | None = None) -> Snapshot | None:
        query = select(t.snapshots).where(t.snapshots.c.assistant == assistant, t.snapshots.c.state == "published")
        if number is not None:
            query = query.where(t.snapshots.c.number == number)
        with reading(self._engine).begin() as connection:
            row = connection.execute(query.order_by(t.snapshots.c.number.desc()).limit(1)).one_or_none()
        return None if row is None else _snapshot(row)

    def unfinished(self, assistant: str) -> Snapshot | None:
        query = select(t.snapshots).where(t.snapshots.c.assistant == assistant, t.snapshots.c.state == "building")
        with reading(self._engine).begin() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _snapshot(row)

    def documents(self, assistant: str, snapshot: int) -> tuple[LiveDocument, ...]:
        query = select(t.documents).where(*_alive(t.documents, assistant, snapshot)).order_by(t.documents.c.uri)
        with reading(self._engine).begin() as connection:
            rows = connection.execute(query).all()
        return tuple(LiveDocument(row.uri, row.source, row.content_hash, tuple(row.chunk_ids)) for row in rows)

    def chunk_keys(self, assistant: str, snapshot: int) -> Mapping[str, str]:
        query = select(t.chunks.c.id, t.chunks.c.vector_key).where(*_alive(t.chunks, assistant, snapshot))
        with reading(self._engine).begin() as connection:
            return {row.id: row.vector_key for row in connection.execute(query)}

    def chunks(self, assistant: str, snapshot: int) -> Mapping[str, Chunk]:
        query = select(t.chunks).where(*_alive(t.chunks, assistant, snapshot))
        with reading(self._engine).begin() as connection:
            return {row.id: _chunk(row) for row in connection.execute(query)}

    def chunk_lives(self, assistant: str) -> tuple[ChunkLife, ...]:
        query = select(t.chunks).where(t.chunks.c.assistant == assistant).order_by(t.chunks.c.born, t.chunks.c.id)
        with reading(self._engine).begin() as connection:
            return tuple(ChunkLife(_chunk(r), r.vector_key, r.born, r.died) for r in connection.execute(query))

    def hints(self, assistant: str, source: str) -> Mapping[str, Hint]:
        query = select(t.file_hints).where(t.file_hints.c.assistant == assistant, t.file_hints.c.source == source)
        with reading(self._engine).begin() as connection:
            return {row.uri: Hint(source, row.uri, row.hint, row.content_hash) for row in connection.execute(query)}

    def quarantined(self, assistant: str) -> tuple[Quarantined, ...]:
        with reading(self._engine).begin() as connection:
            return _quarantined(connection, assistant)

    # ── writing: each in one transaction, under the lease ────────────────────────────────────────────────────────────

    def begin(self, snapshot: Snapshot, lease: Lease) -> None:
        with self._engine.begin() as connection:
            check_lease(connection, lease)
            ensure_assistant(connection, snapshot.assistant)
            connection.execute(delete(t.snapshots).where(*_unpublished(snapshot)))
            row = _snapshot_values(snapshot) | {"token": lease.token, "created_at": now()}
            connection.execute(insert(t.snapshots).values(**row))

    def abandon(self, snapshot: Snapshot, lease: Lease) -> None:
        with self._engine.begin() as connection:
            check_lease(connection, lease)
            connection.execute(
                update(t.snapshots).where(*_unpublished(snapshot)).values(state="abandoned", token=lease.token)
            )

    def publish(self, publication: Publication, lease: Lease) -> None:
        snapshot = publication.snapshot
        with self._engine.begin() as connection:
            check_lease(connection, lease)
            published = connection.execute(
                update(t.snapshots)
                .where(*_unpublished(snapshot), t.snapshots.c.state == "building", t.snapshots.c.token == lease.token)
                .values(**_snapshot_values(snapshot) | {"state": "published", "published_at": now()})
            )
            if published.rowcount != 1:
                raise LeaseLost(
                    f"Snapshot {snapshot.number} of {snapshot.assistant} is not the one this run built. "
                    "Nothing was published; run again.",
                    snapshot=snapshot.number,
                )
            _turn_over_documents(connection, publication)
            _turn_over_chunks(connection, publication)
            _settle(connection, publication.accounts)
            _replace_hints(connection, publication.accounts)

    def settle(self, accounts: Accounts, lease: Lease) -> None:
        with reading(self._engine).begin() as connection:
            if _is_settled(connection, accounts):
                return
        with self._engine.begin() as connection:
            check_lease(connection, lease)
            ensure_assistant(connection, accounts.assistant)
            _settle(connection, accounts)


def _alive(table: Table, assistant: str, snapshot: int) -> tuple[ColumnElement[bool], ...]:
    c = table.c
    return c.assistant == assistant, c.born <= snapshot, or_(c.died.is_(None), c.died > snapshot)


def _unpublished(snapshot: Snapshot) -> tuple[ColumnElement[bool], ...]:
    c = t.snapshots.c
    return c.assistant == snapshot.assistant, c.number == snapshot.number, c.state != "published"


def _snapshot(row: Any) -> Snapshot:
    return Snapshot(**{name: getattr(row, name) for name in Snapshot.__dataclass_fields__})


def _chunk(row: Any) -> Chunk:
    return Chunk(row.id, row.document, tuple(row.heading_path), row.text, row.page)


def _snapshot_values(snapshot: Snapshot) -> dict[str, object]:
    return {name: getattr(snapshot, name) for name in Snapshot.__dataclass_fields__}


def _turn_over_documents(connection: Connection, publication: Publication) -> None:
    assistant, number = publication.snapshot.assistant, publication.snapshot.number
    _mark_dead(connection, t.documents, t.documents.c.uri, assistant, number, publication.died)
    rows = [
        {
            "assistant": assistant,
            "uri": document.uri,
            "born": number,
            "source": document.source,
            "content_hash": document.content_hash,
            "chunk_ids": list(document.chunk_ids),
        }
        for document in publication.born
    ]
    if rows:
        connection.execute(insert(t.documents), rows)


def _turn_over_chunks(connection: Connection, publication: Publication) -> None:
    assistant, number = publication.snapshot.assistant, publication.snapshot.number
    _mark_dead(connection, t.chunks, t.chunks.c.id, assistant, number, publication.chunks_died)
    rows = [
        {
            "assistant": assistant,
            "id": chunk.id,
            "born": number,
            "document": chunk.document,
            "heading_path": list(chunk.heading_path),
            "text": chunk.text,
            "page": chunk.page,
            "vector_key": key,
        }
        for chunk, key in publication.chunks_born
    ]
    if rows:
        connection.execute(insert(t.chunks), rows)


def _mark_dead(
    connection: Connection, table: Table, name: ColumnElement[str], assistant: str, number: int, dead: Sequence[str]
) -> None:
    if dead:
        statement = update(table).where(table.c.assistant == assistant, name == bindparam("dead"))
        connection.execute(
            statement.where(table.c.died.is_(None)).values(died=number), [{"dead": identity} for identity in dead]
        )


def _quarantined(connection: Connection, assistant: str) -> tuple[Quarantined, ...]:
    query = select(t.quarantine).where(t.quarantine.c.assistant == assistant).order_by(t.quarantine.c.uri)
    rows = connection.execute(query).all()
    return tuple(Quarantined(row.uri, row.source, row.content_hash, row.parser, row.reason) for row in rows)


def _is_settled(connection: Connection, accounts: Accounts) -> bool:
    query = select(t.sources).where(t.sources.c.assistant == accounts.assistant)
    known = {RegisteredSource(row.name, row.uri) for row in connection.execute(query)}
    names = {source.name for source in accounts.sources}
    quarantined = {q for q in _quarantined(connection, accounts.assistant) if q.source in names}
    return known >= set(accounts.sources) and quarantined == set(accounts.quarantined)


def _settle(connection: Connection, accounts: Accounts) -> None:
    for source in accounts.sources:
        mine = (t.sources.c.assistant == accounts.assistant, t.sources.c.name == source.name)
        if connection.execute(update(t.sources).where(*mine).values(uri=source.uri)).rowcount == 0:
            row = {"assistant": accounts.assistant, "name": source.name, "uri": source.uri, "added_at": now()}
            connection.execute(insert(t.sources).values(**row))
    _replace_quarantine(connection, accounts)


def _replace_quarantine(connection: Connection, accounts: Accounts) -> None:
    """Rows that stay keep their `since`: how long a document has been missing is part of the debt."""
    names = {source.name for source in accounts.sources}
    known = {q for q in _quarantined(connection, accounts.assistant) if q.source in names}
    for gone in known - set(accounts.quarantined):
        mine = (t.quarantine.c.assistant == accounts.assistant, t.quarantine.c.uri == gone.uri)
        connection.execute(delete(t.quarantine).where(*mine))
    for new in set(accounts.quarantined) - known:
        row = {name: getattr(new, name) for name in Quarantined.__dataclass_fields__}
        connection.execute(insert(t.quarantine).values(assistant=accounts.assistant, since=now(), **row))


def _replace_hints(connection: Connection, accounts: Accounts) -> None:
    mine = t.file_hints.c.assistant == accounts.assistant
    names = [source.name for source in accounts.sources]
    connection.execute(delete(t.file_hints).where(mine, t.file_hints.c.source.in_(names)))
    rows = [
        {
            "assistant": accounts.assistant,
            "source": h.source,
            "uri": h.path,
            "hint": h.hint,
            "content_hash": h.content_hash,
        }
        for h in accounts.hints
    ]
    if rows:
        connection.execute(insert(t.file_hints), rows)
