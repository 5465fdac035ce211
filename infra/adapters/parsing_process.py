"""One process in which documents are parsed, seen from outside: it is asked, and killed when its time is up."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from typing import Any

from infra.child_environment import child_environment
from tasks.core.errors import WorthRetrying

CHILD = "infra.adapters.unstructured_child"
START_SECONDS = 120  # importing unstructured takes seconds, and longer on a cold disk


class TookTooLong(Exception):
    """The process was killed because its time was up."""


class Died(Exception):
    """The process ended by itself, or somebody else ended it."""

    def __init__(self, status: int) -> None:
        super().__init__(f"exit status {status}")
        self.status = status

    @property
    def by_crash(self) -> bool:
        """Whether the document did it: a fault in a library, and not the kernel or a person killing the process."""
        return -self.status in (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)


class ParsingProcess:
    """A child in a process group of its own, so that what it starts (pandoc) ends with it."""

    def __init__(self, memory_mib: int, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self.documents = 0
        # Nothing is ever written to this pipe: that its other end is closed tells the child that its parent is gone.
        lifeline, held = os.pipe()
        self._lifeline: int | None = held
        # Other descriptors are not inherited: a parsing process holds no lock and no socket of its parent.
        self._child = subprocess.Popen(
            [sys.executable, "-m", CHILD, str(memory_mib), str(timeout_seconds), str(lifeline)],
            pass_fds=[lifeline],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            process_group=0,
            env=child_environment(OMP_NUM_THREADS="1"),
        )
        os.close(lifeline)

    def ask(self, kind: str, data: bytes, max_characters: int) -> dict[str, Any]:
        """What the child makes of a document. Raises TookTooLong, Died, or WorthRetrying when it does not start."""
        request = {"kind": kind, "size": len(data), "max_characters": max_characters}
        try:
            self._exchange(json.dumps(request).encode() + b"\n", START_SECONDS)
        except (TookTooLong, Died) as error:
            if self.documents:  # it was idle, and something ended it
                raise Died(self._child.wait()) from error
            raise WorthRetrying(
                f"The parsing process did not start ({error}). To see why: echo '{json.dumps(request | {'size': 0})}' "
                f"| {sys.executable} -m {CHILD} 2048 60"
            ) from error
        self.documents += 1
        return self._exchange(data, self._timeout_seconds)

    def kill(self) -> None:
        """Ends the process and what it started. May be called from any thread, and again."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
            os.killpg(self._child.pid, signal.SIGKILL)

    def close(self) -> None:
        """Kills it and waits for its end."""
        self.kill()
        self._child.communicate()
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None

    def _exchange(self, message: bytes, seconds: float) -> dict[str, Any]:
        """Sends a message and returns the answer. The timer covers both, since a pipe can block either way."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        out_of_time = threading.Event()

        def end() -> None:
            out_of_time.set()
            self.kill()

        timer = threading.Timer(seconds, end)
        timer.start()
        try:
            self._child.stdin.write(message)
            self._child.stdin.flush()
            line = self._child.stdout.readline()
        except BrokenPipeError:
            line = b""
        finally:
            timer.cancel()
        if line.endswith(b"\n"):
            answer: dict[str, Any] = json.loads(line)
            return answer
        if out_of_time.is_set():
            raise TookTooLong(f"{seconds:g} s")
        raise Died(self._child.wait())
