"""Probe questions of releases: what was found for them first, and the last time they were asked again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Engine, bindparam, func, insert, select, update

from infra.adapters.catalog.database import now, reading
from infra.adapters.catalog.tables import probes as table
from tasks.core.probes import Probe, Reasked
from tasks.probes import LastCheck


class CatalogProbes:
    """ProbeCatalog on SQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def probes(self, assistant: str, release: str) -> tuple[Probe, ...]:
        query = select(table.c.question, table.c.expected).where(
            table.c.assistant == assistant, table.c.release == release
        )
        with reading(self._engine).begin() as connection:
            rows = connection.execute(query.order_by(table.c.seq))
            return tuple(Probe(row.question, tuple(row.expected)) for row in rows)

    def record(self, assistant: str, release: str, probes: Sequence[Probe]) -> None:
        rows = [
            {
                "assistant": assistant,
                "release": release,
                "seq": seq,
                "question": probe.question,
                "expected": list(probe.expected),
            }
            for seq, probe in enumerate(probes)
        ]
        mine = select(func.count()).where(table.c.assistant == assistant, table.c.release == release)
        with self._engine.begin() as connection:
            if rows and not connection.scalar(mine):
                connection.execute(insert(table), rows)

    def note_found(self, assistant: str, found: Mapping[str, Sequence[Reasked]]) -> None:
        rows = [
            {"its_release": release, "its_seq": seq, "now_found": list(one.found)}
            for release, asked in found.items()
            for seq, one in enumerate(asked)
        ]
        this = update(table).where(
            table.c.assistant == assistant,
            table.c.release == bindparam("its_release"),
            table.c.seq == bindparam("its_seq"),
        )
        if rows:
            with self._engine.begin() as connection:
                connection.execute(this.values(found=bindparam("now_found"), checked_at=now()), rows)

    def last_check(self, assistant: str) -> LastCheck | None:
        newest = select(func.max(table.c.checked_at)).where(table.c.assistant == assistant)
        with reading(self._engine).begin() as connection:
            at = connection.scalar(newest)
            if at is None:
                return None
            query = select(table.c.expected, table.c.found)
            rows = connection.execute(query.where(table.c.assistant == assistant, table.c.checked_at == at)).all()
        return LastCheck(len(rows), sum(row.expected == row.found for row in rows), at)
