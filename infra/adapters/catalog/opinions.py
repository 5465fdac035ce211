"""Preferences and ratings, read and written in the transaction of the labels they share clusters with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, Table, func, insert, select, update

from infra.adapters.catalog import tables as t
from infra.adapters.catalog.database import now
from tasks.core.opinions import Opinion, Preference, Rating


def opinions_of(connection: Connection, assistant: str) -> list[Opinion]:
    """All of them, in whatever state, preferences first, each in the order of import."""
    preferences = select(t.preferences).where(t.preferences.c.assistant == assistant).order_by(t.preferences.c.seq)
    ratings = select(t.ratings).where(t.ratings.c.assistant == assistant).order_by(t.ratings.c.seq)
    return [
        *(_preference(row) for row in connection.execute(preferences).mappings()),
        *(_rating(row) for row in connection.execute(ratings).mappings()),
    ]


def insert_opinions(connection: Connection, assistant: str, opinions: Sequence[Opinion]) -> None:
    """Adds new ones."""
    for opinion in opinions:
        table = _table(opinion)
        newest = connection.scalar(select(func.max(table.c.seq)).where(table.c.assistant == assistant)) or 0
        values = {"assistant": assistant, "id": opinion.id, "seq": newest + 1, "created_at": now(), **_values(opinion)}
        connection.execute(insert(table).values(**values))


def update_opinions(connection: Connection, assistant: str, opinions: Sequence[Opinion]) -> None:
    """Writes what may change of one: state, split, reason, and what a person says anew of an answer."""
    for opinion in opinions:
        table = _table(opinion)
        values: dict[str, Any] = {"state": opinion.state, "split": opinion.split, "reason": opinion.reason}
        if isinstance(opinion, Rating):
            values |= {"value": opinion.value, "comment": opinion.comment}
        this = (table.c.assistant == assistant, table.c.id == opinion.id)
        connection.execute(update(table).where(*this).values(**values))


def _table(opinion: Opinion) -> Table:
    return t.preferences if isinstance(opinion, Preference) else t.ratings


def _values(opinion: Opinion) -> dict[str, Any]:
    shared = {
        "question": opinion.question,
        "documents": list(opinion.documents),
        "split": opinion.split,
        "state": opinion.state,
        "reason": opinion.reason,
        "contributor": opinion.contributor,
    }
    if isinstance(opinion, Preference):
        return shared | {"chosen": opinion.chosen, "rejected": opinion.rejected}
    return shared | {
        "answer": opinion.answer,
        "value": opinion.value,
        "comment": opinion.comment,
        "release": opinion.release,
    }


def _preference(row: RowMapping) -> Preference:
    return Preference(
        id=row["id"],
        question=row["question"],
        chosen=row["chosen"],
        rejected=row["rejected"],
        documents=tuple(row["documents"]),
        split=row["split"],
        state=row["state"],
        reason=row["reason"],
        contributor=row["contributor"],
    )


def _rating(row: RowMapping) -> Rating:
    return Rating(
        id=row["id"],
        question=row["question"],
        answer=row["answer"],
        value=row["value"],
        documents=tuple(row["documents"]),
        split=row["split"],
        state=row["state"],
        comment=row["comment"],
        release=row["release"],
        reason=row["reason"],
        contributor=row["contributor"],
    )
