"""What happened last: snapshots, verdicts, trainings and promotions, newest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, Select, func, select

from infra.adapters.catalog import tables as t
from infra.adapters.catalog.database import reading


@dataclass(frozen=True, slots=True)
class Happening:
    """at: ISO 8601, UTC."""

    at: str
    what: str
    outcome: str


def last_happenings(engine: Engine, assistant: str, most: int = 5) -> list[Happening]:
    """At most so many, of all kinds together."""
    s, e, r, p = t.snapshots.c, t.evaluations.c, t.trainings.c, t.promotions.c
    kinds: list[tuple[Select[Any], Any, Any]] = [
        (select(s.published_at, s.number, s.documents), s.published_at, _snapshot),
        (select(e.created_at, e.release, e.verdict), e.created_at, _verdict),
        (select(r.started_at, r.finished_at, r.state, r.error), r.started_at, _training),
        (select(p.at, p.kind, p.release, p.who), p.at, _promotion),
    ]
    found: list[Happening] = []
    with reading(engine).begin() as connection:
        for query, at, read in kinds:
            newest = query.where(at.table.c.assistant == assistant, at.is_not(None)).order_by(at.desc()).limit(most)
            found += [read(*row) for row in connection.execute(newest)]
    return sorted(found, key=lambda one: one.at, reverse=True)[:most]


def last_published(engine: Engine, assistant: str) -> str | None:
    """When the newest snapshot was published."""
    s = t.snapshots.c
    with reading(engine).begin() as connection:
        at: str | None = connection.scalar(select(func.max(s.published_at)).where(s.assistant == assistant))
    return at


def _snapshot(at: str, number: int, documents: int) -> Happening:
    return Happening(at, f"snapshot {number}", f"published, {documents:,} documents")


def _verdict(at: str, release: str, verdict: str) -> Happening:
    return Happening(at, f"verdict on {release}", verdict)


def _training(started: str, finished: str | None, state: str, error: str | None) -> Happening:
    said = f"{state}: {error.splitlines()[0][:100]}" if error else state
    return Happening(finished or started, "training", said)


def _promotion(at: str, kind: str, release: str, who: str) -> Happening:
    return Happening(at, f"{kind} {release}", f"by {who}")
