"""Seconds until `ratchet up` is ready on a new home, and until nothing of it runs after SIGTERM and after SIGKILL.

    python benchmarks/prefect/up_ready.py [RUNS]

Ready is when it prints what to try first: every server answers and the workers are started. Ends with exit status 1
when a process is left.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import psutil

LEFT_SECONDS = 60.0


def free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def one_run(how: signal.Signals) -> tuple[float, float, int]:
    """Seconds until ready, seconds until its processes are gone, and how many are left after a minute."""
    options = [word for name in ("prefect", "service", "hooks") for word in (f"--{name}-port", str(free_port()))]
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "RATCHET_"))}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        log = (Path(folder) / "up.log").open("w+")
        began = time.monotonic()
        up = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "up", *options],
            env=environ | {"RATCHET_HOME": f"{folder}/home", "PYTHONUNBUFFERED": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            while "Try first" not in Path(log.name).read_text():
                if up.poll() is not None:
                    sys.exit(f"ratchet up ended with {up.returncode}:\n{Path(log.name).read_text()}")
                time.sleep(0.1)
            ready = time.monotonic() - began
            time.sleep(5)  # the workers are there by then
            started = psutil.Process(up.pid).children(recursive=True)
        finally:
            ending = time.monotonic()
            up.send_signal(how)
            up.wait(LEFT_SECONDS)
        _, left = psutil.wait_procs(started, timeout=LEFT_SECONDS)
        ended = time.monotonic() - ending
        for one in left:
            one.kill()
        log.close()
    return ready, ended, len(left)


def main() -> int:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    left_in_all = 0
    for number in range(runs):
        how = signal.SIGKILL if number == runs - 1 else signal.SIGTERM
        ready, ended, left = one_run(how)
        left_in_all += left
        print(f"ready after {ready:.1f} s; {how.name}: everything ended after {ended:.1f} s, {left} left", flush=True)
    return 1 if left_in_all else 0


if __name__ == "__main__":
    sys.exit(main())
