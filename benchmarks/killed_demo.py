"""Kills the demo with SIGKILL again and again, lets it finish, and prints what it ended with.

    .venv/bin/python benchmarks/killed_demo.py /tmp/killed 40 110 200 60

Each number is how many seconds the next run may live. The releases and hashes of the last run must equal those of
a demo that nobody disturbed: compare with `ratchet demo --json` in another RATCHET_HOME on the same machine.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path


def main(home: Path, lifetimes: list[float]) -> None:
    command = [str(Path(sys.executable).with_name("ratchet")), "demo", "--json"]
    environment = os.environ | {"RATCHET_HOME": str(home)}
    for seconds in lifetimes:
        victim = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
        try:
            victim.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(victim.pid, signal.SIGKILL)
            victim.wait()
            print(f"killed after {seconds:g} s", flush=True)
    last = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    facts = json.loads(last.stdout)
    for step in ("first", "tuned", "fresh"):
        print(step, json.dumps(facts[step], sort_keys=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]), [float(word) for word in sys.argv[2:]])
