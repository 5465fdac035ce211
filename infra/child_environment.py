"""What our own processes are started with: telemetry off, and our modules whatever the working directory holds."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from infra.offline import QUIET

ROOT = Path(__file__).resolve().parents[1]


def child_environment(python: str = sys.executable, **more: str) -> dict[str, str]:
    """Of a process that is started with `-m`, which would look for modules in the working directory first.

    A project with a `tasks.py` of its own would hide ours. A checkout that is not installed is found nevertheless, by
    the interpreter that runs it now.
    """
    own = {"PYTHONSAFEPATH": "1"}
    if python == sys.executable and (ROOT / "pyproject.toml").exists():
        own["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return os.environ | QUIET | own | more
