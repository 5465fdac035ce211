"""Comments on answers, with the answer they are on."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine, select, update

from infra.adapters.catalog import tables as t
from infra.adapters.catalog.database import now, reading
from tasks.core.comments import Comment


class CatalogComments:
    """CommentCatalog on SQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def comments(self, assistant: str) -> list[Comment]:
        said, given = t.feedback.c, t.responses.c
        ours = (said.assistant == assistant, said.kind == "comment")
        query = (
            select(t.feedback, given.question, given.answer)
            .outerjoin(t.responses, given.id == said.response)
            .where(*ours)
            .order_by(said.created_at, said.id)
        )
        commented = select(said.response).where(*ours)
        became = select(said.response, said.became).where(
            said.assistant == assistant, said.became.is_not(None), said.response.in_(commented)
        )
        made: dict[str, set[str]] = {}
        with reading(self._engine).begin() as connection:
            for response, one in connection.execute(became):
                made.setdefault(response, set()).add(one)
            return [
                Comment(
                    id=row["id"],
                    text=str(row["value"]),
                    who=row["contributor"],
                    release=row["release"],
                    question=row["question"],
                    answer=row["answer"],
                    made=frozenset(made.get(row["response"], ())),
                    read=row["read_at"] is not None,
                )
                for row in connection.execute(query).mappings()
            ]

    def mark_read(self, assistant: str, comments: Sequence[str]) -> None:
        if not comments:
            return
        said = t.feedback.c
        these = (said.assistant == assistant, said.id.in_(comments), said.read_at.is_(None))
        with self._engine.begin() as connection:
            connection.execute(update(t.feedback).where(*these).values(read_at=now()))
