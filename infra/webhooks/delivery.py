"""One webhook as it came, and what it turned out to be."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from infra.service.envelope import Refused
from tasks.core.errors import NotAllowed
from tasks.core.source_changes import Change

M = TypeVar("M", bound=BaseModel)
_USABLE_ID = re.compile(r"[\w.:/=+@-]{1,120}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Hook:
    """A request: headers by their names in small letters, and the body as it came over the wire."""

    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook that is believed. marks: what it is remembered by; whatever has one of them is the same one again."""

    marks: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    said: str = ""  # what it is, where it is about no change


PONG = Delivery(said="pong")


def read_as(model: type[M], body: bytes | str) -> M:
    """The body as this model. Raises Refused: 400 for what is no JSON, 422 for what has another shape."""
    try:
        found = from_json(body)
    except ValueError as error:
        raise Refused("The body is not JSON.", code="invalid_json") from error
    try:
        return model.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        param = ".".join(str(part) for part in first["loc"])[:100] or None
        raise Refused(f"{param or 'body'}: {first['msg']}", code="invalid_value", param=param, status=422) from error


def delivery_id(hook: Hook, *names: str) -> str | None:
    """The first of these headers that is there. Raises Refused for one that is no id."""
    for name in names:
        given = hook.headers.get(name)
        if given is not None:
            return usable_id(given, name)
    return None


def usable_id(given: str, name: str) -> str:
    """The id. Raises Refused for what is none, or longer than 120 characters."""
    if not _USABLE_ID.fullmatch(given):
        raise Refused(f"{name} is not an id of at most 120 characters.", code="invalid_delivery_id", param=name)
    return given


def digest(body: bytes) -> str:
    """What the same body always has, and another one never."""
    return hashlib.sha256(body).hexdigest()


def seconds_of(time: str, name: str) -> float:
    """A time in ISO 8601, UTC where it does not say, as seconds since the epoch. Raises Refused."""
    try:
        moment = datetime.fromisoformat(time)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        message = f"{name} is not a time in ISO 8601."
        raise Refused(message, code="invalid_value", param=name, status=422) from None


def require_recent(happened_at: float, now: float, memory_seconds: float) -> None:
    """Raises NotAllowed for what is older than deliveries are remembered: whether it was taken before is not known."""
    if now - happened_at > memory_seconds or happened_at - now > 3600:
        days, limit = (now - happened_at) / 86400, memory_seconds / 86400
        raise NotAllowed(
            f"This happened {days:.1f} days ago; what is older than {limit:.0f} days is not taken, nor what is yet to "
            "happen. Check the clock, or it is an old one sent again.",
        )
