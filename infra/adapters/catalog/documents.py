"""Sources, documents, chunks and snapshots: which are live, which were, and the transaction that publishes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    Select,
    Table,
    bindparam,
    delete,
    insert,
    or_,
    select,
    update,
)

from infra.adapters.catalog import tables as t
from infra.adapters.catalog.database import now, reading
from infra.adapters.catalog.leases import check_lease
from infra.adapters.catalog.releases import ensure_assistant
from tasks.core.changes import Turnover
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

PORTION = 500  # values in one IN (…)


class CatalogDocuments:
    """DocumentCatalog on SQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def sources(self, assistant: str) -> tuple[RegisteredSource, ...]:
        query = select(t.sources).where(t.sources.c.assistant == assistant)
        with reading(self._engine).begin() as connection:
            rows = connection.execute(query.order_by(t.sources.c.added_at, t.sources.c.name)).all()
        return tuple(_source(row) for row in rows)

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
        d = t.documents.c
        query = select(d.uri, d.source, d.content_hash, d.digest, d.chunk_count, d.pipeline)
        with reading(self._engine).begin() as connection:
            rows = connection.execute(query.where(*_alive(t.documents, assistant, snapshot)).order_by(d.uri))
            return tuple(LiveDocument(*row) for row in rows)

    def reading_order(self, assistant: str, snapshot: int, documents: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        query = select(t.documents.c.uri, t.documents.c.chunk_ids).where(*_alive(t.documents, assistant, snapshot))
        with reading(self._engine).begin() as connection:
            rows = _in_portions(connection, query, t.documents.c.uri, documents)
            return {row.uri: tuple(row.chunk_ids) for row in rows}

    def chunk_keys(self, assistant: str, snapshot: int) -> Mapping[str, str]:
        query = select(t.chunks.c.id, t.chunks.c.vector_key).where(*_alive(t.chunks, assistant, snapshot))
        with reading(self._engine).begin() as connection:
            return {row.id: row.vector_key for row in connection.execute(query)}

    def chunks(self, assistant: str, snapshot: int) -> Mapping[str, Chunk]:
        query = select(t.chunks).where(*_alive(t.chunks, assistant, snapshot))
        with reading(self._engine).begin() as connection:
            return {row.id: _chunk(row) for row in connection.execute(query)}

    def chunk_lives(self, assistant: str, collection: str) -> tuple[ChunkLife, ...]:
        same = (t.snapshots.c.assistant == t.chunks.c.assistant) & (t.snapshots.c.number == t.chunks.c.born)
        query = select(t.chunks).join(t.snapshots, same).where(t.chunks.c.assistant == assistant)
        query = query.where(t.snapshots.c.collection == collection, t.snapshots.c.state != "building")
        with reading(self._engine).begin() as connection:
            rows = connection.execute(query.order_by(t.chunks.c.born, t.chunks.c.id))
            return tuple(_life(row) for row in rows)

    def living(self, assistant: str, snapshot: int, chunk_ids: Sequence[str]) -> tuple[ChunkLife, ...]:
        query = select(t.chunks).where(*_alive(t.chunks, assistant, snapshot)).order_by(t.chunks.c.id)
        with reading(self._engine).begin() as connection:
            lives = [_life(row) for row in _in_portions(connection, query, t.chunks.c.id, chunk_ids)]
        return tuple(sorted(lives, key=lambda life: life.chunk.id))

    def hints(self, assistant: str, source: str) -> Mapping[str, Hint]:
        query = select(t.file_hints).where(t.file_hints.c.assistant == assistant, t.file_hints.c.source == source)
        with reading(self._engine).begin() as connection:
            return {row.uri: Hint(source, row.uri, row.hint, row.content_hash) for row in connection.execute(query)}

    def quarantined(self, assistant: str) -> tuple[Quarantined, ...]:
        with reading(self._engine).begin() as connection:
            return _quarantined(connection, assistant)

    def turnover(self, assistant: str, snapshot: int) -> Turnover:
        c = t.chunks.c
        its_own = select(t.snapshots.c.collection).where(
            t.snapshots.c.assistant == assistant, t.snapshots.c.number == snapshot
        )
        same = (t.snapshots.c.assistant == c.assistant) & (t.snapshots.c.number == c.born)
        died = select(c.id).join(t.snapshots, same).where(c.assistant == assistant, c.died == snapshot)
        born = select(c.id).where(c.assistant == assistant, c.born == snapshot).order_by(c.id)
        with reading(self._engine).begin() as connection:
            collection = connection.scalar(its_own)
            dead = connection.scalars(died.where(t.snapshots.c.collection == collection).order_by(c.id)).all()
            return Turnover(tuple(connection.scalars(born)), tuple(dead))

    def snapshots(self, assistant: str) -> tuple[Snapshot, ...]:
        query = select(t.snapshots).where(t.snapshots.c.assistant == assistant, t.snapshots.c.state == "published")
        with reading(self._engine).begin() as connection:
            return tuple(_snapshot(row) for row in connection.execute(query.order_by(t.snapshots.c.number)))

    def reclaimed(self, assistant: str) -> Mapping[int, str]:
        s = t.snapshots.c
        query = select(s.number, s.reclaimed_at).where(s.assistant == assistant, s.state == "reclaimed")
        with reading(self._engine).begin() as connection:
            return {row.number: row.reclaimed_at for row in connection.execute(query)}

    def identity(self) -> str:
        query = select(t.catalog_identity.c.id)
        with reading(self._engine).begin() as connection:
            found = connection.scalar(query)
        if found is not None:
            return str(found)
        with self._engine.begin() as connection:
            found = connection.scalar(query)
            if found is None:
                found = uuid4().hex
                connection.execute(insert(t.catalog_identity).values(id=found))
            return str(found)

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


def _life(row: Any) -> ChunkLife:
    return ChunkLife(_chunk(row), row.vector_key, row.born, row.died)


def _source(row: Any) -> RegisteredSource:
    return RegisteredSource(row.name, row.uri, tuple(row.include), tuple(row.exclude))


def _snapshot_values(snapshot: Snapshot) -> dict[str, object]:
    return {name: getattr(snapshot, name) for name in Snapshot.__dataclass_fields__}


def _turn_over_documents(connection: Connection, publication: Publication) -> None:
    assistant, number = publication.snapshot.assistant, publication.snapshot.number
    _mark_dead(connection, t.documents, t.documents.c.uri, assistant, number, publication.died)
    rows = [
        {
            "assistant": assistant,
            "uri": born.document.uri,
            "born": number,
            "source": born.document.source,
            "content_hash": born.document.content_hash,
            "chunk_ids": list(born.chunk_ids),
            "digest": born.document.digest,
            "chunk_count": born.document.chunk_count,
            "pipeline": born.document.pipeline,
        }
        for born in publication.born
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
    return tuple(Quarantined(*(getattr(row, name) for name in Quarantined.__dataclass_fields__)) for row in rows)


def _is_settled(connection: Connection, accounts: Accounts) -> bool:
    query = select(t.sources).where(t.sources.c.assistant == accounts.assistant)
    known = {_source(row) for row in connection.execute(query)}
    names = {source.name for source in accounts.sources}
    quarantined = {q for q in _quarantined(connection, accounts.assistant) if q.source in names}
    return known >= set(accounts.sources) and quarantined == set(accounts.quarantined)


def _settle(connection: Connection, accounts: Accounts) -> None:
    for source in accounts.sources:
        mine = (t.sources.c.assistant == accounts.assistant, t.sources.c.name == source.name)
        row = {"uri": source.uri, "include": list(source.include), "exclude": list(source.exclude)}
        if connection.execute(update(t.sources).where(*mine).values(**row)).rowcount == 0:
            row |= {"assistant": accounts.assistant, "name": source.name, "added_at": now()}
            connection.execute(insert(t.sources).values(**row))
    _replace_quarantine(connection, accounts)


def _replace_quarantine(connection: Connection, accounts: Accounts) -> None:
    """A row whose bytes stay keeps its `since`: how long a document has been missing is part of the debt."""
    names = {source.name for source in accounts.sources}
    known = {q.uri: q for q in _quarantined(connection, accounts.assistant) if q.source in names}
    wanted = {q.uri: q for q in accounts.quarantined}
    for uri in known.keys() | wanted.keys():
        old, new = known.get(uri), wanted.get(uri)
        mine = (t.quarantine.c.assistant == accounts.assistant, t.quarantine.c.uri == uri)
        if old is not None and new is not None and old.content_hash == new.content_hash:
            connection.execute(update(t.quarantine).where(*mine).values(**_quarantine_values(new)))
        elif old != new:
            connection.execute(delete(t.quarantine).where(*mine))
            if new is not None:
                row = _quarantine_values(new) | {"assistant": accounts.assistant, "since": now()}
                connection.execute(insert(t.quarantine).values(**row))


def _quarantine_values(refused: Quarantined) -> dict[str, object]:
    return {name: getattr(refused, name) for name in Quarantined.__dataclass_fields__}


def _replace_hints(connection: Connection, accounts: Accounts) -> None:
    """Writes what is news only: of ten thousand hints a day's edits change a few."""
    h = t.file_hints.c
    its = (h.assistant == accounts.assistant, h.source == bindparam("its_source"), h.uri == bindparam("its_uri"))
    gone = [{"its_source": hint.source, "its_uri": hint.path} for hint in (*accounts.stale_hints, *accounts.hints)]
    if gone:
        connection.execute(delete(t.file_hints).where(*its), gone)
    news = [
        {
            "assistant": accounts.assistant,
            "source": hint.source,
            "uri": hint.path,
            "hint": hint.hint,
            "content_hash": hint.content_hash,
        }
        for hint in accounts.hints
    ]
    if news:
        connection.execute(insert(t.file_hints), news)


def _in_portions(
    connection: Connection, query: Select[Any], column: ColumnElement[str], values: Sequence[str]
) -> Iterator[Row[Any]]:
    """The rows whose column is one of the values: databases take only so many of them at a time."""
    for start in range(0, len(values), PORTION):
        yield from connection.execute(query.where(column.in_(values[start : start + PORTION])))
