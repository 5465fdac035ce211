"""Runs a program and ends it when whoever started this is gone: `python watchdog.py SECONDS PROGRAM ARGUMENT…`.

Whoever starts it holds the other end of its stdin, which closes with that process however that ended, also by SIGKILL.
The program and what it started then have SECONDS to end by themselves; with 0 they are killed at once, the program
first, so that it tells nobody what became of the others. Its process id is printed first. When the program ends, what
it left running is killed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path


def main(seconds: float, command: list[str]) -> int:
    """Runs the program; returns its exit code."""
    _adopt_orphans()
    # In a group of its own: Ctrl-C reaches the starter, which decides, and not the program in the middle of a write.
    program = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: program.terminate())
    print(program.pid, flush=True)
    ending = threading.Thread(target=_end_with_stdin, args=(program, seconds), daemon=True)
    ending.start()
    code = program.wait()
    for orphan in _descendants(os.getpid()):
        with suppress(ProcessLookupError):
            os.kill(orphan, signal.SIGKILL)
    if _STARTER_IS_GONE.is_set():
        ending.join()
    return code


PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


def _adopt_orphans() -> None:
    """What the program leaves running becomes a child of this process and can be found. Linux only."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(PR_SET_CHILD_SUBREAPER, 1)


_STARTER_IS_GONE = threading.Event()


def _end_with_stdin(program: subprocess.Popen[bytes], seconds: float) -> None:
    os.read(0, 1)  # nobody writes: this returns when the other end is closed
    _STARTER_IS_GONE.set()
    pids = [program.pid, *_descendants(program.pid)]  # while their parents live: an orphan has another one
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM if seconds else signal.SIGKILL)
    until = time.monotonic() + seconds
    while program.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    for pid in pids:
        while _lives(pid) and time.monotonic() < until:
            time.sleep(0.05)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _descendants(pid: int) -> list[int]:
    """All that a process started, in whatever sessions; where there is no /proc, none."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError):
            parents.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
    found, todo = [], [pid]
    while todo:
        below = parents.get(todo.pop(), [])
        found += below
        todo += below
    return found


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2:]))
