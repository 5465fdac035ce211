"""An environment per peer, made with uv from the pins in its folder `peers/`, once."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
FOLDER = HERE.parent / ".envs"

# Nothing that is measured calls home, or uses more threads than another.
QUIET = {
    "ANONYMIZED_TELEMETRY": "False",
    "COCOINDEX_DISABLE_USAGE_TRACKING": "1",
    "DO_NOT_TRACK": "1",
    "LANGSMITH_TRACING": "false",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": str(HERE),
    "SCARF_NO_ANALYTICS": "true",
}


class NotInstalled(Exception):
    """Why a peer cannot be measured here."""


def python_of(peer: str) -> Path:
    """The interpreter of a peer's environment, which is made when it is not there. Raises NotInstalled."""
    pins = HERE / "peers" / f"{peer}.txt"
    folder = FOLDER / peer
    python = folder / "bin" / "python"

    def make() -> None:
        _uv("venv", "--quiet", "--python", sys.executable, str(folder))
        # Copies, not links: LlamaIndex's nltk refuses to read a file that has two names.
        _uv("pip", "install", "--quiet", "--link-mode=copy", "--python", str(python), "--requirement", str(pins))

    _once(folder, pins, make)
    return python


def packages_of(pins: Path) -> Path:
    """A folder with a peer's packages for the path of this interpreter, whose own packages are the rest of them.

    So the peer runs on the very libraries that Ratchet runs on. Made when it is not there. Raises NotInstalled.
    """
    folder = FOLDER / pins.stem
    packages = folder / "site-packages"  # dill takes modules elsewhere for somebody's script, and pickles them whole
    how = ("--no-deps", "--python", sys.executable, "--target", str(packages), "--requirement", str(pins))
    _once(folder, pins, lambda: _uv("pip", "install", "--quiet", *how))
    return packages


def _once(folder: Path, pins: Path, make: Callable[[], None]) -> None:
    """Made again when the pins or the interpreter are others."""
    wanted = hashlib.sha256(pins.read_bytes() + sys.version.encode()).hexdigest()
    made_from = folder / "made-from"
    if not made_from.exists() or made_from.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        make()
        made_from.write_text(wanted)


def _uv(*arguments: str) -> None:
    uv = Path(sys.executable).with_name("uv")
    try:
        subprocess.run([uv, *arguments], check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise NotInstalled(f"{uv} is not there; `make setup` installs it") from error
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines()
        raise NotInstalled(f"uv {arguments[0]} failed: {lines[-1] if lines else error.returncode}") from error


def environment() -> dict[str, str]:
    """Environment variables for a runner: those of this process, without any setting of Ratchet but Weaviate's."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("RATCHET_") or name.startswith("RATCHET_WEAVIATE")
    }
    return kept | QUIET
