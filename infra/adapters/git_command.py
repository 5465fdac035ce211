"""The `git` command line, run so that it asks nobody, runs nothing it was not told to, and ends in time."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tasks.core.errors import SourceMissing, WorthRetrying

_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "fetch.recurseSubmodules=false",
    "gc.autoDetach=false",  # what a fetch starts has ended when the fetch has
    "maintenance.autoDetach=false",
    "credential.interactive=false",
    "http.lowSpeedLimit=1000",  # bytes per second, for …
    "http.lowSpeedTime=60",  # … this many seconds: the connection is dead
)
_ELSEWHERE = (  # set inside git hooks: they would turn commands to another repository
    "GIT_DIR",
    "GIT_COMMON_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_GRAFT_FILE",
    "GIT_REPLACE_REF_BASE",
)
_OUTAGE = re.compile(
    r"Could not resolve host|Couldn't connect|Failed to connect|Connection (?:refused|reset|timed out|closed)|"
    r"Operation (?:timed out|too slow)|unreachable|No route to host|Temporary failure|early EOF|RPC failed|"
    r"hung up unexpectedly|returned error: (?:429|5\d\d)|unexpected disconnect",
    re.IGNORECASE,
)


class GitFailed(Exception):
    """A git command ended with an error. Stays inside the git adapter; `reason` holds no credentials."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    @property
    def is_outage(self) -> bool:
        """Whether the repository could not be reached, so that the same command may succeed later."""
        return _OUTAGE.search(self.reason) is not None


def git_command(repository: Path, *arguments: str) -> list[str]:
    """The command line. Raises SourceMissing without git on the PATH."""
    program = shutil.which("git")
    if program is None:
        raise SourceMissing("Git is not on the PATH. Install it (`apt install git`) to read git sources.")
    settings = [part for setting in _SETTINGS for part in ("-c", setting)]
    return [program, "--git-dir", str(repository), "--literal-pathspecs", *settings, *arguments]


def git_environment() -> Mapping[str, str]:
    """The environment for git: yours, so that proxies, credential helpers and keys work, without a terminal."""
    kept = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
    return kept | {
        "GIT_ALLOW_PROTOCOL": "file:http:https:ssh",  # `ext::` and other remote helpers run commands
        "GIT_TERMINAL_PROMPT": "0",
        "GCM_INTERACTIVE": "never",
        "SSH_ASKPASS_REQUIRE": "never",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "LC_ALL": "C",  # messages are recognised by their English words
    }


def run_git(repository: Path, *arguments: str, timeout_seconds: float) -> bytes:
    """What the command prints. Raises GitFailed, and WorthRetrying when it takes too long."""
    child = subprocess.Popen(
        git_command(repository, *arguments),
        env=git_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # its own group, to be ended with all it started; and no terminal for ssh to ask on
    )
    with child:
        try:
            output, errors = child.communicate(timeout=timeout_seconds)
        except subprocess.TimeoutExpired as error:
            os.killpg(child.pid, signal.SIGKILL)
            raise WorthRetrying(
                f"git {arguments[0]} took over {timeout_seconds:g} s and was ended. Try again."
            ) from error
        except BaseException:  # such as Ctrl-C, which does not reach another group
            os.killpg(child.pid, signal.SIGKILL)
            raise
    if child.returncode != 0:
        raise GitFailed(_reason(errors, child.returncode))
    return output


def _reason(errors: bytes, status: int) -> str:
    """Git's own words in one line. A user's git settings can put credentials into a URL: they are cut out."""
    lines = [line.strip() for line in errors.decode("utf-8", errors="replace").splitlines()]
    words = [line.removeprefix("fatal: ") for line in lines if line and not line.startswith(("warning:", "hint:"))]
    text = re.sub(r"://[^/\s'\"]*@", "://", " ".join(words)).partition(" Could not read from remote")[0]
    return text[:500].rstrip(".") or f"git ended with status {status}"
