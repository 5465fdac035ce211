"""Feedback as it comes over the wire: a thumb, a number, a comment, or the answer that should have been given."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StrictStr, ValidationError
from pydantic_core import from_json

from infra.service.chat_answer import Json
from infra.service.envelope import Refused
from tasks.core.feedback import Feedback, FeedbackKind, Taken

MAX_TEXT_CHARACTERS = 20_000


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")

    response_id: Annotated[StrictStr, Field(min_length=1, max_length=64)]
    kind: FeedbackKind
    value: JsonValue
    user: Annotated[StrictStr, Field(min_length=1, max_length=160)] | None = None


def read_feedback(body: bytes) -> Feedback:
    """The feedback. Raises Refused for what is malformed, or has a value that is not of its kind."""
    try:
        asked = _Asked.model_validate(from_json(body))
    except ValidationError as error:
        first = error.errors()[0]
        param = ".".join(str(part) for part in first["loc"]) or None
        raise Refused(f"{param or 'body'}: {first['msg']}", code="invalid_value", param=param) from error
    except ValueError as error:
        raise Refused(f"The body is not JSON: {error}", code="invalid_json") from error
    return Feedback(asked.response_id, asked.kind, _value(asked.kind, asked.value), asked.user)


def as_json(taken: Taken) -> Json:
    """What the caller is told."""
    response = taken.response
    return {
        "object": "feedback",
        "id": taken.id,
        "counted": taken.counted,
        "became": taken.became,
        "response_id": response.id,
        "release": response.release,
        "snapshot": response.snapshot,
        "pattern": response.pattern,
    }


def _value(kind: FeedbackKind, value: JsonValue) -> bool | float | str:
    if kind == "boolean":
        if not isinstance(value, bool):
            raise _wrong("boolean feedback is true or false")
        return value
    if kind == "float":
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise _wrong("float feedback is a number from 0 to 1")
        return float(value)
    if not isinstance(value, str) or not any(c.isalnum() for c in value):
        raise _wrong(f"a {kind} is a text that is not empty")
    if len(value) > MAX_TEXT_CHARACTERS or "\x00" in value:
        raise _wrong(f"a {kind} has at most {MAX_TEXT_CHARACTERS:,} characters, and none is NUL")
    return value.strip()


def _wrong(message: str) -> Refused:
    return Refused(f"value: {message}.", code="invalid_value", param="value")
