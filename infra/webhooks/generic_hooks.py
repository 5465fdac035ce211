"""Anybody's webhook, signed as of standardwebhooks.com: `{"source": "docs"}`, and if they like which paths changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictStr, model_validator

from infra.webhooks.delivery import Delivery, Hook, read_as, usable_id
from tasks.core.source_changes import Named
from tasks.core.webhook_signatures import verified

GENERIC_SETTING = "RATCHET_WEBHOOK_SECRETS__GENERIC"

_Text = Annotated[StrictStr, Field(min_length=1, max_length=1024)]


class _Told(BaseModel):
    model_config = ConfigDict(extra="forbid")

    assistant: _Text | None = None
    source: _Text | None = None  # its name
    uri: _Text | None = None  # of the source, of a folder above it, or of a document in it
    paths: Annotated[list[_Text], Field(min_length=1, max_length=10_000)] | None = None  # inside the source

    @model_validator(mode="after")
    def _says_something(self) -> _Told:
        if self.assistant is None and self.source is None and self.uri is None:
            raise ValueError("say which: source, uri or assistant")
        return self


def read_generic(hook: Hook, secrets: Sequence[str], now: float) -> Delivery:
    """What is said to have changed. Raises NotAllowed for what is not signed, and Refused for what cannot be read."""
    named = usable_id(verified(secrets, hook.headers, hook.body, now, setting=GENERIC_SETTING), "webhook-id")
    told = read_as(_Told, hook.body)
    paths = None if told.paths is None else frozenset(told.paths)
    return Delivery((f"id:{named}",), (Named(told.assistant, told.source, told.uri, paths, named),))
