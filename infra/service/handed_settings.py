"""Settings as one line of JSON, for a process that is to have exactly these and none of its own."""

from __future__ import annotations

import json

from pydantic import SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from infra.settings import Settings


class _Handed(Settings):
    """Neither environment nor `ratchet.toml` adds anything: where a value is a table, they would be merged into it."""

    model_config = SettingsConfigDict(toml_file=None)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def as_line(settings: Settings) -> bytes:
    """The settings with their secrets in plain, but for those of webhooks.

    For a pipe, never for a log, a command line or the environment.
    """
    values = settings.model_dump(mode="json", exclude={"webhook_secrets"})  # nobody who answers takes webhooks
    for name, value in settings:
        if isinstance(value, SecretStr):
            values[name] = value.get_secret_value()
    return json.dumps(values).encode() + b"\n"


def from_line(line: bytes) -> Settings:
    """The settings that `as_line` wrote."""
    return _Handed(**json.loads(line))
