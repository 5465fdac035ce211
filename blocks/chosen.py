"""From a block's fields to the settings they set. A field left empty sets nothing: the worker's own setting stays."""

from __future__ import annotations

from typing import Any, ClassVar

from prefect.blocks.core import Block
from pydantic import Field

from infra.settings import Settings


def as_in_settings(setting: str, title: str) -> Any:
    """An optional field of a form that sets this setting: described as there, with the same limits.

    setting: its name, or `part.name` of a setting with parts, such as `lora.rank`.
    """
    *part, name = setting.split(".")
    model: Any = Settings.model_fields[part[0]].annotation if part else Settings
    said = model.model_fields[name]
    field: Any = Field(default=None, title=title, description=said.description)
    field.metadata = list(said.metadata)
    return field


class SettingsBlock(Block):
    """A part of an assistant's settings."""

    _sets: ClassVar[dict[str, str]] = {}
    """Field to setting; a field that is not named sets the setting of its own name."""

    def settings(self) -> dict[str, object]:
        """What this block sets, for `load_settings`."""
        chosen: dict[str, Any] = {}
        for name in self._own_fields():
            value = getattr(self, name)
            if value not in (None, ""):
                *part, setting = self._sets.get(name, name).split(".")
                (chosen.setdefault(part[0], {}) if part else chosen)[setting] = value
        return chosen

    @classmethod
    def _own_fields(cls) -> list[str]:
        return [name for name in cls.model_fields if not name.startswith(("_", "block_"))]
