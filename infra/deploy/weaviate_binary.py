"""Where a Weaviate server comes from: one that is there, or one built with Go and kept for the next time."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tasks.core.errors import IndexUnavailable

VERSION = "v1.39.0"
PACKAGE = f"github.com/weaviate/weaviate/cmd/weaviate-server@{VERSION}"
NAME = "weaviate-server"
OLDEST_GO = (1, 26)
BUILD_SECONDS = 1800


def find_or_build(environ: Mapping[str, str] | None = None) -> Path:
    """A Weaviate server binary; says on stderr which, and why that one.

    In this order: RATCHET_WEAVIATE_BINARY; `weaviate-server` or `weaviate` on PATH; the one kept by an earlier build;
    a new build. Raises IndexUnavailable with the reason when none can be had.
    """
    environ = os.environ if environ is None else environ
    named = environ.get("RATCHET_WEAVIATE_BINARY")
    if named:
        return _said(_executable(Path(named), "RATCHET_WEAVIATE_BINARY names it"), "RATCHET_WEAVIATE_BINARY names it")
    for name in (NAME, "weaviate"):
        on_path = shutil.which(name, path=environ.get("PATH"))
        if on_path:
            return _said(Path(on_path), "it is on PATH")
    kept = kept_binary(environ)
    if kept.exists():
        return _said(kept, "an earlier build left it")
    return _said(_build(kept, environ), "it was built now")


def why_none(environ: Mapping[str, str] | None = None) -> str | None:
    """Why no binary can be had; None when one is there or can be built. Builds nothing."""
    environ = os.environ if environ is None else environ
    search = environ.get("PATH")
    if environ.get("RATCHET_WEAVIATE_BINARY") or kept_binary(environ).exists():
        return None
    if shutil.which(NAME, path=search) or shutil.which("weaviate", path=search):
        return None
    return _why_no_build(environ)


def kept_binary(environ: Mapping[str, str]) -> Path:
    """Where a build is kept, by version."""
    cache = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME", "~")).expanduser() / ".cache")
    return Path(cache) / "ratchet" / "weaviate" / VERSION / NAME


def _said(binary: Path, why: str) -> Path:
    print(f"Weaviate server: {binary} ({why}).", file=sys.stderr)
    return binary


def _executable(binary: Path, why: str) -> Path:
    if not os.access(binary, os.X_OK) or not binary.is_file():
        raise IndexUnavailable(f"There is no program at {binary}, and {why}. Correct the variable, or unset it.")
    return binary


def _build(kept: Path, environ: Mapping[str, str]) -> Path:
    reason = _why_no_build(environ)
    if reason:
        raise IndexUnavailable(f"No Weaviate server was found, and none can be built: {reason}")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with _alone(kept.parent), tempfile.TemporaryDirectory(prefix=".building-", dir=kept.parent) as beside:
        if not kept.exists():  # nobody else built it while this process waited
            print(
                f"Building Weaviate {VERSION} with Go, once: about 4 minutes, and 3.6 GB of Go's caches.",
                file=sys.stderr,
                flush=True,
            )
            _go_install(Path(beside), environ)
            (Path(beside) / NAME).replace(kept)
    return kept


def _go_install(folder: Path, environ: Mapping[str, str]) -> None:
    settings = {**environ, "CGO_ENABLED": "0", "GOBIN": str(folder), "GOFLAGS": "-trimpath"}
    try:
        done = subprocess.run(
            ["go", "install", PACKAGE], env=settings, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise IndexUnavailable(f"Building Weaviate {VERSION} took more than {BUILD_SECONDS} s. Run again.") from error
    if done.returncode or not (folder / NAME).exists():
        last = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise IndexUnavailable(f"`go install {PACKAGE}` ended with code {done.returncode}. It said last:\n{last}")


def _why_no_build(environ: Mapping[str, str]) -> str | None:
    needed = ".".join(map(str, OLDEST_GO))
    help_ = f"Install Go {needed} or newer, or name a server with RATCHET_WEAVIATE_BINARY or RATCHET_WEAVIATE_URL."
    go = shutil.which("go", path=environ.get("PATH"))
    if not go:
        return f"there is no `go` on PATH. {help_}"
    said = subprocess.run([go, "env", "GOVERSION"], env=dict(environ), capture_output=True, text=True, check=False)
    found = re.match(r"go(\d+)\.(\d+)", said.stdout.strip())
    if not found:
        return f"{go} does not say its version ({(said.stderr or said.stdout).strip()[:200]}). {help_}"
    if tuple(map(int, found.groups())) < OLDEST_GO:
        return f"{go} is {said.stdout.strip()}. {help_}"
    return None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Waits until no other process builds here."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
