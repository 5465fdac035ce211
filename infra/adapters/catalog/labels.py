"""Labels and golden sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Connection, Engine, RowMapping, bindparam, func, insert, select, update

from infra.adapters.catalog import tables as t
from infra.adapters.catalog.crossings import consumed, new_labels, note_crossing
from infra.adapters.catalog.database import now, reading
from infra.adapters.catalog.opinions import insert_opinions, opinions_of, update_opinions
from infra.adapters.catalog.releases import ensure_assistant
from tasks.core.label_import import Holdings, LabelChanges
from tasks.core.labels import GoldenSet, Label
from tasks.core.opinions import Opinion
from tasks.core.ports import Message
from tasks.labels import Pages


class CatalogLabels:
    """LabelCatalog on SQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def labels(self, assistant: str) -> list[Label]:
        with reading(self._engine).begin() as connection:
            return _labels(connection, assistant)

    def opinions(self, assistant: str) -> list[Opinion]:
        with reading(self._engine).begin() as connection:
            return opinions_of(connection, assistant)

    def change(
        self, assistant: str, decide: Callable[[Holdings], LabelChanges], *, threshold: int | None = None
    ) -> LabelChanges:
        with self._engine.begin() as connection:
            lock_assistant(connection, assistant)
            changes = decide(Holdings(_labels(connection, assistant), opinions_of(connection, assistant)))
            insert_labels(connection, assistant, changes.added)
            _update(connection, assistant, changes.updated)
            insert_opinions(connection, assistant, changes.opinions_added)
            update_opinions(connection, assistant, changes.opinions_updated)
            note_crossing(connection, assistant, threshold)
        return changes

    def note_crossing(self, assistant: str, threshold: int) -> bool:
        with self._engine.begin() as connection:
            lock_assistant(connection, assistant)
            return note_crossing(connection, assistant, threshold)

    def consumed(self, assistant: str) -> frozenset[str]:
        with reading(self._engine).begin() as connection:
            return consumed(connection, assistant)

    def oldest_new(self, assistant: str) -> datetime | None:
        row = t.labels.c
        with reading(self._engine).begin() as connection:
            new = new_labels(connection, assistant)
            query = select(row.id, row.created_at).where(row.assistant == assistant, row.state == "accepted")
            times = [created for label, created in connection.execute(query) if label in new]
        return datetime.fromisoformat(min(times)) if times else None

    def record_golden_set(self, assistant: str, golden: GoldenSet) -> None:
        sets = t.golden_sets.c
        with self._engine.begin() as connection:
            known = select(sets.id).where(sets.assistant == assistant, sets.id == golden.id)
            if connection.scalar(known) is None:
                values = {"assistant": assistant, "id": golden.id, "label_ids": list(golden.label_ids)}
                connection.execute(insert(t.golden_sets).values(**values, created_at=now()))

    def golden_set(self, assistant: str, golden: str) -> GoldenSet | None:
        """A golden set that was recorded."""
        query = select(t.golden_sets).where(t.golden_sets.c.assistant == assistant, t.golden_sets.c.id == golden)
        with reading(self._engine).begin() as connection:
            row = connection.execute(query).mappings().one_or_none()
        return GoldenSet(row["id"], tuple(row["label_ids"])) if row else None

    def pages(self, assistant: str) -> Pages:
        snapshots, documents = t.snapshots.c, t.documents.c
        newest = select(func.max(snapshots.number)).where(
            snapshots.assistant == assistant, snapshots.state == "published"
        )
        with reading(self._engine).begin() as connection:
            number = connection.scalar(newest) or 0
            alive = select(documents.uri).where(
                documents.assistant == assistant,
                documents.born <= number,
                documents.died.is_(None) | (documents.died > number),
            )
            roots = select(t.sources.c.uri).where(t.sources.c.assistant == assistant)
            return Pages(frozenset(connection.scalars(alive)), tuple(connection.scalars(roots)))


def lock_assistant(connection: Connection, assistant: str) -> None:
    """Until the transaction ends nobody else changes this assistant's labels, or consumes them."""
    ensure_assistant(connection, assistant)
    # SQLite's BEGIN IMMEDIATE excludes other writers already; elsewhere this row's lock does.
    connection.execute(select(t.assistants).where(t.assistants.c.name == assistant).with_for_update())


def _labels(connection: Connection, assistant: str) -> list[Label]:
    query = select(t.labels).where(t.labels.c.assistant == assistant).order_by(t.labels.c.seq)
    return [_label(row) for row in connection.execute(query).mappings()]


def insert_labels(connection: Connection, assistant: str, labels: Sequence[Label]) -> None:
    """Adds new ones, after those that are there."""
    if not labels:
        return
    newest = select(func.max(t.labels.c.seq)).where(t.labels.c.assistant == assistant)
    first = (connection.scalar(newest) or 0) + 1
    created = now()
    rows = [
        {"assistant": assistant, "seq": seq, "created_at": created, **_values(label)}
        for seq, label in enumerate(labels, start=first)
    ]
    connection.execute(insert(t.labels), rows)


def _update(connection: Connection, assistant: str, labels: Sequence[Label]) -> None:
    if not labels:
        return
    statement = update(t.labels).where(t.labels.c.assistant == assistant, t.labels.c.id == bindparam("label"))
    values = [{"label": x.id, "new_state": x.state, "new_split": x.split, "new_reason": x.reason} for x in labels]
    connection.execute(
        statement.values(state=bindparam("new_state"), split=bindparam("new_split"), reason=bindparam("new_reason")),
        values,
    )


def _values(label: Label) -> dict[str, object]:
    return {
        "id": label.id,
        "question": label.question,
        "answer": label.answer,
        "documents": list(label.documents),
        "unanswerable": label.unanswerable,
        "facts": list(label.facts),
        "messages": [asdict(message) for message in label.messages] or None,
        "split": label.split,
        "state": label.state,
        "reason": label.reason,
        "contributor": label.contributor,
    }


def _label(row: RowMapping) -> Label:
    return Label(
        id=row["id"],
        question=row["question"],
        answer=row["answer"],
        documents=tuple(row["documents"]),
        unanswerable=row["unanswerable"],
        facts=tuple(row["facts"]),
        split=row["split"],
        state=row["state"],
        messages=tuple(Message(**message) for message in row["messages"] or ()),
        reason=row["reason"],
        contributor=row["contributor"],
    )
