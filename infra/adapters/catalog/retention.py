"""What the catalog can forget: rows that no kept snapshot reads, vectors that no chunk refers to."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    ScalarSelect,
    Select,
    Table,
    and_,
    delete,
    exists,
    func,
    not_,
    select,
    update,
)

from infra.adapters.catalog import tables as t
from infra.adapters.catalog.anchors import newest_anchor
from infra.adapters.catalog.database import now, reading
from infra.adapters.catalog.hosted_jobs import every_job
from infra.adapters.catalog.leases import check_lease
from tasks.core.document_catalog import Lease
from tasks.core.errors import AssistantBusy
from tasks.core.hosted_collecting import needs_rows
from tasks.core.releases import ReleaseManifest
from tasks.core.retention import past_adapters
from tasks.vacuum import Lives, UnusedVectors


class CatalogRetention:
    """RetentionCatalog on SQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def trainings(self, assistant: str) -> Mapping[str, int]:
        s = t.snapshots.c
        newest: ScalarSelect[int] = (
            select(func.max(s.number))
            .where(s.assistant == assistant, s.published_at <= t.trainings.c.started_at)
            .scalar_subquery()
        )
        query = select(t.trainings.c.id, newest.label("snapshot")).where(
            t.trainings.c.assistant == assistant, t.trainings.c.state == "running"
        )
        with reading(self._engine).begin() as connection:
            return {row.id: row.snapshot for row in connection.execute(query) if row.snapshot is not None}

    def collections(self, assistant: str) -> tuple[str, ...]:
        query = select(t.snapshots.c.collection).where(t.snapshots.c.assistant == assistant).distinct()
        with reading(self._engine).begin() as connection:
            return tuple(sorted(connection.scalars(query)))

    def unreadable(self, assistant: str, keep: Sequence[int]) -> Lives:
        with reading(self._engine).begin() as connection:
            documents, chunks = (
                connection.scalar(select(func.count()).select_from(table).where(_unreadable(table, assistant, keep)))
                for table in (t.documents, t.chunks)
            )
        return Lives(documents or 0, chunks or 0)

    def unused_vectors(self, assistant: str, keep: Sequence[int]) -> UnusedVectors:
        left = select(t.chunks.c.vector_key).where(not_(_unreadable(t.chunks, assistant, keep)))
        with reading(self._engine).begin() as connection:
            return _measured(connection, left)

    def named_artifacts(self, assistant: str = "", reclaim: Collection[int] = ()) -> frozenset[str]:
        with reading(self._engine).begin() as connection:
            models = _models(connection)
            used = _used_adapters(connection, {(assistant, number) for number in reclaim}, models)
            saved = {one.get("golden_answers") for one in connection.scalars(select(t.hosted_jobs.c.details))}
            saved |= set(connection.scalars(select(t.saved_answers.c.artifact)))
            lineages = [*models.values(), *_begun(connection)]
            kept = {one.get(name) for one in lineages for name in ("dataset_artifact", "record")}
            evaluations = set(connection.scalars(select(t.evaluations.c.id)))
        began_with = {model: lineage.get("started_from") for (_, model), lineage in models.items()}
        adapters = {adapter for adapter, _ in used} | {*began_with, *began_with.values()}
        return frozenset(filter(None, (adapters - past_adapters(used, began_with)) | evaluations | saved | kept))

    def finished_trainings(self) -> frozenset[str]:
        row = t.trainings.c
        other = select(row.id).where(row.state != "succeeded")
        query = select(row.id).where(row.state == "succeeded", row.id.not_in(other))
        with reading(self._engine).begin() as connection:
            return frozenset(connection.scalars(query))

    # ── writing: each in one transaction, under the lease ────────────────────────────────────────────────────────────

    def reclaim(self, assistant: str, keep: Sequence[int], lease: Lease) -> Lives:
        s = t.snapshots.c
        with self._engine.begin() as connection:
            check_lease(connection, lease)
            _check_kept(connection, assistant, keep)
            others = (s.assistant == assistant, s.state == "published", s.number.not_in(keep))
            connection.execute(update(t.snapshots).where(*others).values(state="reclaimed", reclaimed_at=now()))
            documents, chunks = (
                connection.execute(delete(table).where(_unreadable(table, assistant, keep))).rowcount
                for table in (t.documents, t.chunks)
            )
        return Lives(documents, chunks)

    def drop_unused_vectors(self, lease: Lease) -> UnusedVectors:
        referred = select(t.chunks.c.vector_key)
        with self._engine.begin() as connection:
            check_lease(connection, lease)
            _check_nobody_else_ingests(connection, lease)
            unused = _measured(connection, referred)
            if unused.count:
                connection.execute(delete(t.vectors).where(t.vectors.c.key.not_in(referred)))
        return unused


def _models(connection: Connection) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Lineages by assistant and model: two assistants may have trained the same one, each with curves of its own."""
    row = t.models.c
    return {(m.assistant, m.id): m.lineage for m in connection.execute(select(row.assistant, row.id, row.lineage))}


def _used_adapters(
    connection: Connection, going: Collection[tuple[str, int]], models: Collection[tuple[str, str]]
) -> list[tuple[str, bool]]:
    """The adapter of each release that has one, and whether it is of the past.

    That is a release which was served or refused, and whose documents are gone, or are going. One that nobody judged
    is not: its model is taken up again by the next training. So is a model that none of its own assistant's releases
    uses, whatever became of it elsewhere.
    """
    s, p = t.snapshots.c, t.promotions.c
    gone = {*_pairs(connection, select(s.assistant, s.number).where(s.state == "reclaimed")), *going}
    over = _pairs(connection, select(p.assistant, p.release))
    over |= _refused(connection)
    used, waiting = [], set(models)
    for row in connection.execute(select(t.releases.c.assistant, t.releases.c.id, t.releases.c.manifest)):
        manifest = ReleaseManifest.model_validate(row.manifest)
        if manifest.model.adapter:
            past = (row.assistant, row.id) in over and (row.assistant, manifest.snapshot.number) in gone
            used.append((manifest.model.adapter, past))
            waiting.discard((row.assistant, manifest.model.adapter))
    return [*used, *((model, False) for _, model in waiting)]


def _refused(connection: Connection) -> set[tuple[str, str]]:
    """Assistants and releases whose last verdict is not PROMOTE. A release is judged again when its policy changes."""
    e = t.evaluations.c
    oldest_first = select(e.assistant, e.release, e.verdict).order_by(e.seq)
    last = {(row.assistant, row.release): row.verdict for row in connection.execute(oldest_first)}
    return {release for release, verdict in last.items() if verdict != "PROMOTE"}


def _pairs(connection: Connection, query: Select[Any]) -> set[tuple[Any, ...]]:
    return {tuple(row) for row in connection.execute(query)}


def _unreadable(table: Table, assistant: str, keep: Sequence[int]) -> ColumnElement[bool]:
    """Lives that are over and that none of the snapshots falls into."""
    s, c = t.snapshots.c, table.c
    reader = exists().where(s.assistant == assistant, s.number.in_(keep), s.number >= c.born, s.number < c.died)
    return and_(c.assistant == assistant, c.died.is_not(None), not_(reader.correlate(table)))


def _begun(connection: Connection) -> list[Mapping[str, Any]]:
    """Of trainings that run, and of those whose job at a vendor has a model, or may come to have one."""
    row = t.trainings.c
    query = select(row.assistant, row.id, row.state, row.begun).where(row.state != "succeeded", row.begun.is_not(None))
    jobs = {(job.assistant, job.intent): job for job in every_job(connection)}
    begun = ((one, jobs.get((one.assistant, one.id))) for one in connection.execute(query))
    return [one.begun for one, job in begun if needs_rows(job, running=one.state == "running")]


def _measured(connection: Connection, referred: Select[tuple[str]]) -> UnusedVectors:
    v = t.vectors.c
    query = select(func.count(), func.coalesce(func.sum(func.length(v.vector)), 0)).where(v.key.not_in(referred))
    count, size_bytes = connection.execute(query).one()
    return UnusedVectors(int(count), int(size_bytes))


def _check_kept(connection: Connection, assistant: str, keep: Sequence[int]) -> None:
    """Against a promotion, a rollback or a new anchor since it was decided what stays: all lock the assistant's row."""
    pointer = select(t.assistants.c.current_release).where(t.assistants.c.name == assistant).with_for_update()
    needed = {"current": connection.scalar(pointer), "the anchor": newest_anchor(connection, assistant)}
    for role, release in needed.items():
        query = select(t.releases.c.manifest).where(t.releases.c.assistant == assistant, t.releases.c.id == release)
        manifest = connection.scalar(query)
        number = ReleaseManifest.model_validate(manifest).snapshot.number if manifest else None
        if number is not None and number not in keep:
            raise AssistantBusy(
                f"Release {release} became {role} while vacuum decided what to keep, and it answers from snapshot "
                f"{number}. Nothing was deleted; run again.",
                release=release,
            )


def _check_nobody_else_ingests(connection: Connection, lease: Lease) -> None:
    """Vectors of an ingest that is under way belong to chunks that are not in the catalog yet."""
    row = t.leases.c
    held = select(row.name, row.expires_at).where(row.name.like("documents/%")).with_for_update()
    for other in connection.execute(held):
        if other.name != lease.name and other.expires_at > time.time():
            raise AssistantBusy(
                f"Another run holds {other.name}, and vectors are shared by all assistants. "
                "Wait for it and run again, or run without dropping vectors.",
                holder=other.name,
            )
