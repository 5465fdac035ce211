"""A vendor's fine-tuning jobs, by intent."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, Select, insert, select, update

from infra.adapters.catalog import tables as t
from infra.adapters.catalog.database import now, reading
from infra.adapters.catalog.labels import lock_assistant
from tasks.core.hosted_jobs import Checkpoint, HostedJob, JobError
from tasks.hosted_training import Decide

_COLUMNS = ("assistant", "intent", "base", "method", "job", "state", "model", "tokens", "cost_usd")
_APART = {*_COLUMNS, "files", "error"}  # everything else is in `details`


class CatalogHostedJobs:
    """HostedJobs on SQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def change(self, assistant: str, intent: str, decide: Decide) -> HostedJob:
        with self._engine.begin() as connection:
            lock_assistant(connection, assistant)
            rows = _rows(connection, _of(assistant))
            known = next((row for row in rows if row.intent == intent), None)
            changed = decide(known, [row for row in rows if row.intent != intent])
            if known is None:
                connection.execute(insert(t.hosted_jobs).values(**_values(changed), created_at=now()))
            elif changed != known:
                this = (t.hosted_jobs.c.assistant == assistant, t.hosted_jobs.c.intent == intent)
                connection.execute(update(t.hosted_jobs).where(*this).values(**_values(changed)))
        return changed

    def job(self, assistant: str, intent: str) -> HostedJob | None:
        return self._first(_of(assistant).where(t.hosted_jobs.c.intent == intent))

    def jobs(self, assistant: str) -> list[HostedJob]:
        with reading(self._engine).begin() as connection:
            return _rows(connection, _of(assistant))

    def named(self, job: str) -> HostedJob | None:
        return self._first(select(t.hosted_jobs).where(t.hosted_jobs.c.job == job))

    def file(self, sha: str) -> str | None:
        newest_first = select(t.hosted_jobs.c.file_ids).order_by(t.hosted_jobs.c.created_at.desc())
        with reading(self._engine).begin() as connection:
            held = (files[sha] for files in connection.scalars(newest_first) if sha in files)
            return next(held, None)

    def note_answers(self, assistant: str, release: str, artifact: str) -> None:
        row = t.saved_answers.c
        these = (row.assistant == assistant, row.release == release, row.artifact == artifact)
        with self._engine.begin() as connection:
            lock_assistant(connection, assistant)
            if connection.scalar(select(row.artifact).where(*these)) is None:
                values = {"assistant": assistant, "release": release, "artifact": artifact, "created_at": now()}
                connection.execute(insert(t.saved_answers).values(**values))

    def _first(self, query: Select[Any]) -> HostedJob | None:
        with reading(self._engine).begin() as connection:
            return next(iter(_rows(connection, query)), None)


def every_job(connection: Connection) -> list[HostedJob]:
    """Rows of all assistants."""
    return _rows(connection, select(t.hosted_jobs))


def _of(assistant: str) -> Select[Any]:
    mine = select(t.hosted_jobs).where(t.hosted_jobs.c.assistant == assistant)
    return mine.order_by(t.hosted_jobs.c.created_at.desc(), t.hosted_jobs.c.intent)


def _rows(connection: Connection, query: Select[Any]) -> list[HostedJob]:
    return [_job(row) for row in connection.execute(query).mappings()]


def _values(job: HostedJob) -> dict[str, Any]:
    spelled = asdict(job)
    columns = {name: spelled[name] for name in _COLUMNS}
    details = {name: value for name, value in spelled.items() if name not in _APART}
    return columns | {
        "file_ids": spelled["files"],
        "error": spelled["error"],
        "details": details,
        "updated_at": now(),
    }


def _job(row: RowMapping) -> HostedJob:
    details = dict(row["details"])
    for name in ("wanted", "webhooks"):
        details[name] = tuple(details[name])
    details["checkpoints"] = tuple(Checkpoint(**one) for one in details["checkpoints"])
    error = JobError(**row["error"]) if row["error"] else None
    return HostedJob(**{name: row[name] for name in _COLUMNS}, files=row["file_ids"], error=error, **details)
