"""What every flow is asked: one model per flow, unknown fields refused. Descriptions are the form in the UI."""

from __future__ import annotations

import getpass

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict, JsonValue

ASSISTANT_NAME = r"^[a-z0-9][a-z0-9-]{0,62}$"


_LAST = ("block", "cause")  # in a form


def _in_order(schema: JsonDict) -> None:
    """A form begins with the assistant and what the flow is about."""
    fields = schema["properties"]
    assert isinstance(fields, dict)
    order = sorted(fields, key=lambda name: _LAST.index(name) + 1 if name in _LAST else 0)
    schema["properties"] = {name: {**_as_dict(fields[name]), "position": n} for n, name in enumerate(order)}


def _as_dict(field: JsonValue) -> JsonDict:
    assert isinstance(field, dict)
    return field


class AssistantRequest(BaseModel):
    """The part all requests share."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_in_order)

    assistant: str = Field(default="default", pattern=ASSISTANT_NAME, title="Assistant", description="Which assistant")
    block: str | None = Field(
        default=None,
        title="Block",
        description="Ratchet assistant block to take settings from; default: the worker's own settings",
    )
    cause: str | None = Field(
        default=None,
        max_length=40,
        title="Cause",
        description="Shown in the run's name; default: schedule, webhook, threshold, automation or manual, as it is",
    )


def whoever_runs_this() -> str:
    """The name recorded beside a promotion when nobody gives one."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
