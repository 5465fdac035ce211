"""The policy that an assistant has to itself: a file under the home, written like the one in `ratchet.toml`.

.ratchet/policies/handbook.toml    [policy] and nothing else; it decides for the whole policy of assistant handbook
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from infra.settings import Settings
from tasks.core.errors import BadSetting
from tasks.core.policy import Policy


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    policy: Policy


def own_policy_file(home: Path, assistant: str) -> Path:
    """Where it lies, whether there is one or not."""
    return home / "policies" / f"{assistant}.toml"


def with_own_policy(settings: Settings, assistant: str) -> Settings:
    """The settings with the assistant's own policy, where it has one. Raises BadSetting naming each wrong field."""
    file = own_policy_file(settings.home, assistant)
    if not (file.exists() or file.is_symlink()):  # a link to nothing is a policy that is lost, not one never written
        return settings
    try:
        read = _File.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise BadSetting(f"{file} cannot be read: {error}.") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise BadSetting(f"{file} is wrong: {wrong}. It holds one table, [policy].") from error
    return settings.model_copy(update={"policy": read.policy})
