"""The answers given lately, and feedback on them, which becomes pending labels and ratings at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Engine, Exists, and_, delete, exists, func, insert, or_, select

from infra.adapters.catalog import tables as t
from infra.adapters.catalog.database import now
from infra.adapters.catalog.labels import insert_labels, lock_assistant
from infra.adapters.catalog.opinions import insert_opinions, opinions_of, update_opinions
from tasks.core.errors import NotFound, UsageError
from tasks.core.feedback import Feedback, Response, Taken, demonstrated, rated
from tasks.core.labels import without_marker
from tasks.core.opinions import Rating, rating_id

KEPT_RESPONSES = 10_000
UNREAD_FACTOR = 10  # of them: comments that nobody ever reads keep no more answers than that
MAX_PER_RESPONSE = 100


class CatalogFeedback:
    """Remembers the last `keep` answers, of all assistants; feedback on an older one finds nothing."""

    def __init__(self, engine: Engine, *, keep: int = KEPT_RESPONSES) -> None:
        self._engine = engine
        self._keep = keep

    def remember(self, response: Response) -> None:
        """Keeps an answer, and forgets those beyond the limit. Remembering one again changes nothing.

        An answer with a comment that nobody has read stays ten times as long: without it the comment could not be
        understood.
        """
        row = t.responses.c
        values = {
            "id": response.id,
            "assistant": response.assistant,
            "release": response.release,
            "snapshot": response.snapshot,
            "pattern": response.pattern,
            "question": response.question,
            "answer": response.answer,
            "documents": list(response.documents),
        }
        with self._engine.begin() as connection:
            if self._keep and connection.scalar(select(row.seq).where(row.id == response.id)) is None:
                connection.execute(insert(t.responses).values(**values, created_at=now()))
            newest = connection.scalar(select(func.max(row.seq))) or 0
            old = and_(row.seq <= newest - self._keep, ~_unread_comment())
            connection.execute(delete(t.responses).where(or_(old, row.seq <= newest - UNREAD_FACTOR * self._keep)))

    def take(self, feedback: Feedback) -> Taken:
        """In one transaction: notes what was said, and makes what it becomes. The same again changes nothing.

        Raises NotFound for a response that is not remembered, UsageError when too much was said of it already.
        """
        with self._engine.begin() as connection:
            response = _response(connection, feedback.response)
            lock_assistant(connection, response.assistant)
            row = t.feedback.c
            this = (row.assistant == response.assistant, row.id == feedback.id)
            known = connection.execute(select(row.became).where(*this)).first()
            if known is not None:
                return Taken(feedback.id, False, known.became, response)
            _refuse_too_much(connection, response)
            became = _become(connection, response, feedback)
            connection.execute(insert(t.feedback).values(**_values(response, feedback), became=became))
            return Taken(feedback.id, True, became, response)


def _unread_comment() -> Exists:
    said = t.feedback.c
    return exists().where(said.response == t.responses.c.id, said.kind == "comment", said.read_at.is_(None))


def _response(connection: Connection, response: str) -> Response:
    found = connection.execute(select(t.responses).where(t.responses.c.id == response)).mappings().first()
    if found is None:
        raise NotFound(
            f"There is no response {response}, or it is too long ago. Feedback needs the id of an answer given lately.",
            response=response,
        )
    return Response(
        id=found["id"],
        assistant=found["assistant"],
        release=found["release"],
        snapshot=found["snapshot"],
        pattern=found["pattern"],
        question=found["question"],
        answer=found["answer"],
        documents=tuple(found["documents"]),
    )


def _refuse_too_much(connection: Connection, response: Response) -> None:
    count = select(func.count()).select_from(t.feedback).where(t.feedback.c.response == response.id)
    if (connection.scalar(count) or 0) >= MAX_PER_RESPONSE:
        raise UsageError(f"Response {response.id} has {MAX_PER_RESPONSE} pieces of feedback, which is the limit.")


def _become(connection: Connection, response: Response, feedback: Feedback) -> str | None:
    if feedback.kind == "demonstration":
        label = demonstrated(response, feedback)
        this = (t.labels.c.assistant == response.assistant, t.labels.c.id == label.id)
        if connection.scalar(select(t.labels.c.id).where(*this)) is None:
            insert_labels(connection, response.assistant, [label])
        return label.id
    if feedback.kind == "comment":
        return _comment(connection, response, feedback)
    return _rate(connection, response, rated(response, feedback, _earlier_comment(connection, feedback)))


def _rate(connection: Connection, response: Response, rating: Rating) -> str:
    """One person's newest word on an answer counts; changed after a review, it is reviewed anew."""
    known = _rating(connection, response, rating.id)
    if known is None:
        insert_opinions(connection, response.assistant, [rating])
    elif known.value != rating.value:
        changed = replace(known, value=rating.value, state="pending", reason=f"{rating.reason} anew")
        update_opinions(connection, response.assistant, [changed])
    return rating.id


def _comment(connection: Connection, response: Response, feedback: Feedback) -> str | None:
    """Stands beside the rating by the same person, whichever comes first; alone it waits for the reviewer by itself."""
    answer = without_marker(response.answer)
    known = _rating(connection, response, rating_id(response.question, answer, response.documents, feedback.user))
    if known is None:
        return None
    update_opinions(connection, response.assistant, [replace(known, comment=str(feedback.value))])
    return known.id


def _rating(connection: Connection, response: Response, wanted: str) -> Rating | None:
    this = (t.ratings.c.assistant == response.assistant, t.ratings.c.id == wanted)
    if connection.scalar(select(t.ratings.c.id).where(*this)) is None:
        return None
    found = (x for x in opinions_of(connection, response.assistant) if isinstance(x, Rating) and x.id == wanted)
    return next(found)


def _earlier_comment(connection: Connection, feedback: Feedback) -> str | None:
    row = t.feedback.c
    this = (
        row.response == feedback.response,
        row.kind == "comment",
        row.contributor.is_not_distinct_from(feedback.user),
    )
    return connection.scalar(select(row.value).where(*this).order_by(row.created_at.desc()).limit(1))


def _values(response: Response, feedback: Feedback) -> dict[str, Any]:
    return {
        "assistant": response.assistant,
        "id": feedback.id,
        "response": response.id,
        "release": response.release,
        "snapshot": response.snapshot,
        "pattern": response.pattern,
        "kind": feedback.kind,
        "value": feedback.value,
        "contributor": feedback.user,
        "created_at": now(),
    }
