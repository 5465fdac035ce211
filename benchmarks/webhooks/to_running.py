"""A signed webhook on a machine with everything real: seconds until its run exists, runs, and has published a snapshot.

    .venv/bin/python benchmarks/webhooks/to_running.py [ROUNDS]

Starts a Prefect server on SQLite, `ratchet deploy`, one process worker (asking every second) and `ratchet hooks serve`,
ingests a folder of one page, then edits the page and says so by a generic webhook, ROUNDS times: first with runs
started by Prefect's own command, then by RATCHET_RUN_COMMAND as `ratchet up` sets it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from server_killed import SECRET, free_port, kill, wait_for

from flows.bringing_up import directly
from infra.deploy.processes import NO_TLS
from tasks.core.webhook_signatures import signature

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        try:
            place.start()
            for way, command in (("Prefect's command", ""), ("RATCHET_RUN_COMMAND", directly())):
                if command:
                    place.run([sys.executable, "-m", "flows.cli", "deploy"], RATCHET_RUN_COMMAND=command)
                told(way, [place.edit() for _ in range(rounds)])
        finally:
            for process in place.processes:
                kill(process)


def told(way: str, measured: list[dict[str, float]]) -> None:
    for name in measured[0]:
        seconds = [one[name] for one in measured]
        print(
            f"{way:20} webhook -> {name:45} p50 {statistics.median(seconds):5.2f} s, max {max(seconds):5.2f} s, "
            f"of {len(measured)}",
            flush=True,
        )


class Place:
    """Server, worker, receiver, and a page."""

    def __init__(self, folder: Path) -> None:
        self.folder, server, self.receiver = folder, free_port(), free_port()
        self.api = f"http://127.0.0.1:{server}/api"
        self.server = str(server)
        self.page = folder / "docs" / "pump.md"
        self.page.parent.mkdir()
        self.environment = (
            os.environ
            | NO_TLS
            | {
                "PREFECT_HOME": str(folder / "prefect"),
                "PREFECT_API_URL": self.api,
                "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
                "PREFECT_WORKER_QUERY_SECONDS": "1",
                "DO_NOT_TRACK": "1",
                "PYTHONPATH": str(ROOT),
                "RATCHET_HOME": str(folder / "home"),
                "RATCHET_WEBHOOK_SECRETS__GENERIC": SECRET,
            }
        )
        self.processes: list[subprocess.Popen[bytes]] = []
        self.edits = 0

    def start(self) -> None:
        prefect = str(BIN / "prefect")
        self.go([prefect, "server", "start", "--no-ui", "--host", "127.0.0.1", "--port", self.server], "server")
        wait_for(f"{self.api}/health", 120)
        self.page.write_text("# Pump\n\nThe pump moves 90 litres a minute.\n")
        # Not through Prefect: a flow run of its own would be measured with the others.
        self.run([sys.executable, "-m", "flows.cli", "ingest", str(self.page.parent)], PREFECT_API_URL="")
        self.run([sys.executable, "-m", "flows.cli", "deploy"])
        self.go([prefect, "worker", "start", "--pool", "ratchet"], "worker")
        self.go([sys.executable, "-m", "flows.cli", "hooks", "serve", "--port", str(self.receiver)], "receiver")
        wait_for(f"http://127.0.0.1:{self.receiver}/healthz", 60)
        time.sleep(10)  # for the worker

    def edit(self) -> dict[str, float]:
        known = {run["id"] for run in self.runs()}
        self.edits += 1
        self.page.write_text(f"# Pump\n\nThe pump moves {90 + self.edits} litres a minute.\n")
        body, webhook, now = json.dumps({"source": "docs"}).encode(), uuid4().hex, str(int(time.time()))
        headers = {"webhook-id": webhook, "webhook-timestamp": now, "Content-Type": "application/json"}
        headers["webhook-signature"] = f"v1,{signature(SECRET, webhook, now, body)}"
        begun = time.time()
        httpx.post(f"http://127.0.0.1:{self.receiver}/hooks/generic", content=body, headers=headers).raise_for_status()
        while not (fresh := [run for run in self.runs() if run["id"] not in known and run["end_time"]]):
            if time.time() - begun > 300:
                raise SystemExit(f"No run ended within 300 s; see {self.folder}.")
            time.sleep(0.3)
        [run] = fresh
        if run["state_type"] != "COMPLETED":
            raise SystemExit(f"The run ended as {run['state_name']}.")
        taken = min(state["timestamp"] for state in self.states(run["id"]) if state["type"] == "PENDING")
        moments = {
            "run exists": run["created"],
            "a worker took it": taken,
            "runs": run["start_time"],
            "snapshot published, candidate judged, run over": run["end_time"],
        }
        return {name: datetime.fromisoformat(moment).timestamp() - begun for name, moment in moments.items()}

    def states(self, run: str) -> list[dict[str, Any]]:
        found = httpx.get(f"{self.api}/flow_run_states/", params={"flow_run_id": run})
        return found.raise_for_status().json()  # type: ignore[no-any-return]

    def runs(self) -> list[dict[str, Any]]:
        asked = {"flows": {"name": {"any_": ["refresh-assistant"]}}, "limit": 200}
        found = httpx.post(f"{self.api}/flow_runs/filter", json=asked).raise_for_status().json()
        return [run for run in found if str(run["idempotency_key"]).startswith("docs.changed:")]

    def run(self, command: list[str], **more: str) -> None:
        done = subprocess.run(command, env=self.environment | more, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{command} failed: {done.stdout[-2000:]} {done.stderr[-2000:]}")

    def go(self, command: list[str], name: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            started = subprocess.Popen(
                command, env=self.environment, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
            )
        self.processes.append(started)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
