"""What every flow is asked: one model per flow, unknown fields refused. Descriptions are the form in the UI."""

from __future__ import annotations

import getpass

from pydantic import BaseModel, ConfigDict, Field

ASSISTANT_NAME = r"^[a-z0-9][a-z0-9-]{0,62}$"


class AssistantRequest(BaseModel):
    """The part all requests share."""

    model_config = ConfigDict(extra="forbid")

    assistant: str = Field(default="default", pattern=ASSISTANT_NAME, description="Which assistant")
    block: str | None = Field(
        default=None, description="Ratchet assistant block to take settings from; default: the worker's own settings"
    )


def whoever_runs_this() -> str:
    """The name recorded beside a promotion when nobody gives one."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
