"""Runs a program and ends it when whoever started this is gone: `python watchdog.py SECONDS PROGRAM ARGUMENT…`.

Whoever starts it holds the other end of its stdin, which closes with that process however that ended, also by SIGKILL.
The program then has SECONDS to end by itself. Its process id is printed first.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def main(seconds: float, command: list[str]) -> int:
    """Runs the program; returns its exit code."""
    # In a group of its own: Ctrl-C reaches the starter, which decides, and not the program in the middle of a write.
    program = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: program.terminate())
    print(program.pid, flush=True)
    threading.Thread(target=_end_with_stdin, args=(program, seconds), daemon=True).start()
    return program.wait()


def _end_with_stdin(program: subprocess.Popen[bytes], seconds: float) -> None:
    os.read(0, 1)  # nobody writes: this returns when the other end is closed
    program.terminate()
    try:
        program.wait(seconds)
    except subprocess.TimeoutExpired:
        program.kill()


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2:]))
