"""`ratchet` as a person or a program calls it, in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from click.testing import CliRunner, Result

from flows.cli import ratchet

Run = Callable[..., Result]


def run_ratchet(*words: object) -> Result:
    """What `ratchet WORDS` printed and left with; an exception that is no RatchetError is raised here."""
    return CliRunner().invoke(ratchet, [str(word) for word in words], catch_exceptions=False)


def read(result: Result) -> dict[str, Any]:
    """The object that a command with `--json` printed."""
    return json.loads(result.stdout)  # type: ignore[no-any-return]
