"""Programs that are started, watched, started again and ended together, with their output on one stream."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from infra.deploy.processes import Process
from tasks.core.errors import UsageError

WATCHDOG = Path(__file__).with_name("watchdog.py")
STOP_SECONDS = 15.0  # to end by itself, before it is killed
RESTARTS, WITHIN_SECONDS = 5, 300.0

Say = Callable[[str, str], None]
"""Told the name of a program and one line of it."""


@dataclass
class _Child:
    process: Process
    watchdog: subprocess.Popen[bytes]
    pid: int
    reader: threading.Thread
    begun: list[float] = field(default_factory=list)  # monotonic seconds of every start


class Supervisor:
    """Runs programs for as long as this process lives: they end with it, however it ends.

    Each is started by the watchdog in a session of its own, so Ctrl-C reaches this process alone.
    """

    def __init__(self, say: Say, environment: Mapping[str, str]) -> None:
        self._say = say
        self.environment = environment
        self._children: dict[str, _Child] = {}

    def start(self, process: Process) -> None:
        """Starts a program; returns at once."""
        begun = self._children[process.name].begun if process.name in self._children else []
        watchdog = subprocess.Popen(
            [sys.executable, str(WATCHDOG), str(0 if process.is_killed else STOP_SECONDS), *resolved(process.command)],
            env={**self.environment, **process.environment, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert watchdog.stdout is not None
        pid = int(watchdog.stdout.readline() or 0)
        reader = threading.Thread(target=self._read, args=(process.name, watchdog), daemon=True)
        reader.start()
        self._children[process.name] = _Child(process, watchdog, pid, reader, [*begun, time.monotonic()])

    def _read(self, name: str, watchdog: subprocess.Popen[bytes]) -> None:
        assert watchdog.stdout is not None
        for line in watchdog.stdout:
            self._say(name, line.decode(errors="replace").rstrip())

    def ended(self) -> dict[str, int]:
        """Exit codes of the programs that ended by themselves."""
        found = {name: child.watchdog.poll() for name, child in self._children.items()}
        return {name: code for name, code in found.items() if code is not None}

    def restart(self, name: str) -> bool:
        """Starts a program again that ended; False once it has ended too often lately."""
        child = self._children[name]
        lately = [at for at in child.begun if at > time.monotonic() - WITHIN_SECONDS]
        if len(lately) > RESTARTS:
            return False
        self._end_tree(child)
        self.start(child.process)
        return True

    def end(self, names: tuple[str, ...], seconds: float = STOP_SECONDS) -> None:
        """Ends programs and all that they started; what is asked to end and has not after `seconds` is killed."""
        children = [self._children.pop(name) for name in names if name in self._children]
        trees = [tree_of(child.pid) for child in children]
        for child, tree in zip(children, trees, strict=True):
            for one in (child.pid, *tree):
                with suppress(ProcessLookupError):
                    os.kill(one, signal.SIGKILL if child.process.is_killed else signal.SIGTERM)
        until = time.monotonic() + seconds
        for child, tree in zip(children, trees, strict=True):
            _wait_for((child.pid, *tree), until)
            self._end_tree(child, tree)

    def _end_tree(self, child: _Child, tree: tuple[int, ...] = ()) -> None:
        for one in {*tree, *tree_of(child.pid), child.pid}:
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        assert child.watchdog.stdin is not None
        assert child.watchdog.stdout is not None
        child.watchdog.stdin.close()
        child.watchdog.wait()
        child.reader.join()  # the stream ends with the last who writes to it
        child.watchdog.stdout.close()


def resolved(command: tuple[str, ...]) -> list[str]:
    """The command with the program that is installed beside this interpreter."""
    program = Path(sys.executable).with_name(command[0])
    if not program.exists():
        raise UsageError(f"{program} is not there. Install Ratchet and its dependencies into one environment.")
    return [str(program), *command[1:]]


def tree_of(pid: int) -> tuple[int, ...]:
    """Every process that one started, deepest last, whatever sessions they are in."""
    try:
        return tuple(one.pid for one in psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return ()


def _wait_for(pids: tuple[int, ...], until: float) -> None:
    while any(map(_lives, pids)) and time.monotonic() < until:
        time.sleep(0.1)


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
