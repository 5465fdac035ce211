"""A re-ingest in the middle of which everything is stopped, killed, or its worker is: what becomes of the run.

    .venv/bin/python benchmarks/prefect/interrupted.py [--documents 400] [--how "worker SIGKILL"]

`ratchet up` on a home of its own, a run of `reingest-docs` started through the API; once it runs for a few seconds:
`ratchet up` gets SIGTERM, or SIGKILL, or its light worker does. Then `ratchet up` again, where it ended. The run
has to be Completed at the end and the snapshot to hold every document. Exit status 1 when not.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from fan_out import write
from up_ready import free_port

PATIENCE_SECONDS = 600.0
WAYS = ("SIGTERM", "SIGKILL", "worker SIGKILL", "worker SIGTERM")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--documents", type=int, default=400)
    asked.add_argument("--how", action="append", choices=WAYS)
    given = asked.parse_args()
    good = [one(how, given.documents) for how in given.how or WAYS]
    sys.exit(not all(good))


def one(how: str, documents: int) -> bool:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        docs, port = write(Path(folder) / "docs", documents), free_port()
        with up(folder, port) as started:
            deployment = asked_of(port, "deployments/name/reingest-docs/default")["id"]
            run = asked_of(
                port,
                f"deployments/{deployment}/create_flow_run",
                {
                    "parameters": {"request": {"assistant": "default", "path": str(docs)}},
                    "state": {"type": "SCHEDULED"},
                },
            )["id"]
            wait_for(port, run, "RUNNING")
            time.sleep(4)
            if how.startswith("worker"):
                [worker] = [one for one in psutil.Process(started.pid).children(recursive=True) if is_light(one)]
                worker.send_signal(signal.Signals[how.removeprefix("worker ")])
                wait_for(port, run, "COMPLETED")
                return told(how, folder, port, run, documents)
            started.send_signal(signal.Signals[how])
            started.wait(60)
        with up(folder, port):
            wait_for(port, run, "COMPLETED")
            return told(how, folder, port, run, documents)


def is_light(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        line = process.cmdline()
        return "worker" in line and "ratchet" in line and "watchdog" not in " ".join(line)
    return False


def told(how: str, folder: str, port: int, run: str, documents: int) -> bool:
    found = asked_of(port, f"flow_runs/{run}")
    running = asked_of(port, "flow_runs/count", {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}})
    status = subprocess.run(
        [sys.executable, "-m", "flows.cli", "status", "--json"], env=environ(folder), capture_output=True, text=True
    )
    has = json.loads(status.stdout)["documents"]
    good = found["state"]["type"] == "COMPLETED" and has == documents
    print(
        f"{how:<15} run {found['state']['name']}, begun {found['run_count']} times; {has} of {documents} documents; "
        f"{running} other runs Running",
        flush=True,
    )
    return bool(good)


def environ(folder: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "RATCHET_"))}
    return kept | {"RATCHET_HOME": f"{folder}/home", "PYTHONUNBUFFERED": "1"}


@contextmanager
def up(folder: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    options = ["--prefect-port", str(port), "--service-port", str(free_port()), "--hooks-port", str(free_port())]
    with (Path(folder) / "up.log").open("w") as log:
        started = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "up", *options], env=environ(folder), stdout=log, stderr=log
        )
    try:
        until = time.monotonic() + PATIENCE_SECONDS
        while "Try first" not in (Path(folder) / "up.log").read_text():
            if started.poll() is not None or time.monotonic() > until:
                sys.exit((Path(folder) / "up.log").read_text())
            time.sleep(0.2)
        yield started
    finally:
        started.send_signal(signal.SIGTERM)
        started.wait(60)


def wait_for(port: int, run: str, state: str) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while (found := asked_of(port, f"flow_runs/{run}")["state"])["type"] != state:
        if time.monotonic() > until or found["type"] == "FAILED":
            sys.exit(f"The run is {found['name']} and not {state}: {found.get('message')}")
        time.sleep(0.3)


def asked_of(port: int, path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/{path}", data=data, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


if __name__ == "__main__":
    main()
