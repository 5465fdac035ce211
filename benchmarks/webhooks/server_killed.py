"""200 signed webhooks while the Prefect server is killed in the middle: how many changes got exactly one run.

    .venv/bin/python benchmarks/webhooks/server_killed.py [--receiver-too] [--database postgresql+asyncpg://…]

Starts a real Prefect server (SQLite unless a database is named) and `ratchet hooks serve`, each in a process of its
own. First a few pushes come alone, and what passes until each has its run is measured. Then 200 come, signed as GitHub
signs, ten a second, every third of them twice. After a third of them the server is killed with SIGKILL, after two
thirds it is started again; with --receiver-too the receiver is killed once in between, and what it did not answer is
sent again, as senders do. Then one sweep of the flow `deliver-notices`. Instead of a worker, a thread of this process
lets every run that waits begin, twice a second, so that later changes need runs of their own.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from sqlalchemy import insert, select

CHANGES, PER_SECOND, ALONE = 200, 10, 10
SECRET = "a-secret-for-this-benchmark-only"
REPOSITORY = "https://github.com/org/docs"
NULL = "0" * 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--receiver-too", action="store_true", help="also kill the receiver once")
    parser.add_argument("--database", help="SQLAlchemy URL for the Prefect server; default: SQLite")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder), asked.database)
        try:
            place.measure(receiver_too=asked.receiver_too)
        finally:
            place.close()


class Place:
    """The processes, and what was sent."""

    def __init__(self, folder: Path, database: str | None) -> None:
        self.folder, self.server_port, self.receiver_port = folder, free_port(), free_port()
        self.api = f"http://127.0.0.1:{self.server_port}/api"
        self.environment = os.environ | {
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_URL": self.api,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "RATCHET_HOME": str(folder / "home"),
            "RATCHET_WEBHOOK_SECRETS__GITHUB": SECRET,
        }
        if database:
            self.environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = database
        os.environ.update(self.environment)  # before anything reads it in here
        self.server: subprocess.Popen[bytes] | None = None
        self.receiver: subprocess.Popen[bytes] | None = None
        self.taken_at: dict[str, float] = {}  # commit → when it was answered with 202
        self.answers: Counter[int] = Counter()
        self.seconds: list[float] = []
        self.began: dict[str, float] = {}
        self.over = threading.Event()

    def measure(self, *, receiver_too: bool) -> None:
        self.start_server()
        deployment = self.prepare()
        self.start_receiver()
        threading.Thread(target=self.let_runs_begin, args=(deployment,), daemon=True).start()
        alone = [self.send_alone(number) for number in range(ALONE)]
        down_for = self.send_all(receiver_too)
        self.settle()
        before = self.told()
        command = "import asyncio; from flows.deliver_notices import *; asyncio.run(deliver_notices(DeliverRequest()))"
        swept = time.monotonic()
        subprocess.run([sys.executable, "-c", command], env=self.environment, check=True, capture_output=True)
        swept = time.monotonic() - swept
        self.report(deployment, alone, down_for, before, swept)

    # ── processes ────────────────────────────────────────────────────────────────────────────────────────────────────

    def start_server(self) -> None:
        command = [str(Path(sys.executable).with_name("prefect")), "server", "start", "--no-ui"]
        self.server = self._start([*command, "--host", "127.0.0.1", "--port", str(self.server_port)], "server")
        wait_for(f"{self.api}/health", 120)

    def start_receiver(self) -> None:
        command = [sys.executable, "-m", "flows.cli", "hooks", "serve", "--port", str(self.receiver_port)]
        self.receiver = self._start(command, "receiver")
        wait_for(f"http://127.0.0.1:{self.receiver_port}/healthz", 60)

    def _start(self, command: list[str], name: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, start_new_session=True)

    def close(self) -> None:
        self.over.set()
        for process in (self.server, self.receiver):
            kill(process)

    # ── before ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def prepare(self) -> str:
        """A source in the catalog, and a deployment of refresh-assistant."""
        from infra.adapters.catalog import tables as t
        from infra.workbench import open_workbench

        row = {"assistant": "default", "name": "docs", "uri": f"git+{REPOSITORY}", "added_at": "now"}
        self.engine = open_workbench("default").engine
        with self.engine.begin() as connection:
            connection.execute(insert(t.sources).values(**row, include=[], exclude=[]))
        flow = httpx.post(f"{self.api}/flows/", json={"name": "refresh-assistant"}).json()["id"]
        asked = {"name": "default", "flow_id": flow, "parameters": {"request": {"assistant": "default"}}}
        return str(httpx.post(f"{self.api}/deployments/", json=asked).raise_for_status().json()["id"])

    # ── meanwhile ────────────────────────────────────────────────────────────────────────────────────────────────────

    def send_alone(self, number: int) -> float:
        """Seconds from sending one push until its run exists."""
        time.sleep(1.5)
        begun, after = time.time(), f"{number:040x}"
        with httpx.Client() as http:
            self.send(http, after, *push(NULL, after))
        while (row := self.rows()[-1]).delivered_at is None:
            time.sleep(0.02)
        return datetime.fromisoformat(row.delivered_at).timestamp() - begun

    def send_all(self, receiver_too: bool) -> float:
        """How many seconds there was no server."""
        begun, killed, up = time.monotonic(), 0.0, [0.0]

        def come_back() -> None:
            self.start_server()
            up[0] = time.monotonic()

        back, before = threading.Thread(target=come_back), NULL
        with httpx.Client(timeout=10) as http:
            for number in range(CHANGES):
                time.sleep(max(0.0, begun + number / PER_SECOND - time.monotonic()))
                if number == CHANGES // 3:
                    kill(self.server)
                    killed = time.monotonic()
                if receiver_too and number == CHANGES // 2:
                    kill(self.receiver)
                    threading.Thread(target=self.start_receiver).start()
                if number == 2 * CHANGES // 3:
                    back.start()
                after = hashlib.sha1(str(number).encode()).hexdigest()
                headers, body = push(before, after)
                for _ in range(2 if number % 3 == 0 else 1):
                    self.send(http, after, headers, body)
                before = after
        back.join()
        return up[0] - killed

    def send(self, http: httpx.Client, commit: str, headers: dict[str, str], body: bytes) -> None:
        """Until it is answered: what breaks off is sent again, under the same delivery id."""
        while True:
            begun = time.monotonic()
            try:
                answer = http.post(f"http://127.0.0.1:{self.receiver_port}/hooks/github", headers=headers, content=body)
            except httpx.TransportError:
                time.sleep(0.2)
                continue
            self.seconds.append(time.monotonic() - begun)
            self.answers[answer.status_code] += 1
            self.taken_at.setdefault(commit, time.time())
            return

    def let_runs_begin(self, deployment: str) -> None:
        runs = {"deployment_id": {"any_": [deployment]}, "state": {"type": {"any_": ["SCHEDULED"]}}}
        with httpx.Client(base_url=self.api + "/", timeout=10) as http:
            while not self.over.wait(0.5):
                try:
                    for run in http.post("flow_runs/filter", json={"flow_runs": runs}).raise_for_status().json():
                        self.began.setdefault(run["id"], time.time())
                        for kind in ("RUNNING", "COMPLETED"):
                            state = {"state": {"type": kind}, "force": True}
                            http.post(f"flow_runs/{run['id']}/set_state", json=state).raise_for_status()
                except httpx.HTTPError:
                    continue

    # ── after ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def settle(self) -> None:
        """Long enough for every nudge that is under way."""
        time.sleep(3)

    def rows(self) -> list[Any]:
        from infra.adapters.catalog import tables as t

        with self.engine.connect() as connection:
            return list(connection.execute(select(t.outbox).order_by(t.outbox.c.seq)))

    def told(self) -> int:
        return sum(row.delivered_at is not None for row in self.rows())

    def report(self, deployment: str, alone: list[float], down_for: float, before: int, swept: float) -> None:
        runs: list[dict[str, Any]] = []
        which = {"flow_runs": {"deployment_id": {"any_": [deployment]}}, "limit": 200}
        while page := httpx.post(f"{self.api}/flow_runs/filter", json=which | {"offset": len(runs)}).json():
            runs += page
        per_key = Counter(run["idempotency_key"] for run in runs)
        began = {run["idempotency_key"]: self.began.get(run["id"]) for run in runs}
        rows = self.rows()
        counts = Counter(per_key[row.telling] if row.delivered_at else 0 for row in rows)
        early = [row for row in rows if (at := began.get(row.telling)) and at < self.noted(row)]
        print(f"server down                  {down_for:.1f} s, killed with SIGKILL")
        print(f"webhooks sent                {sum(self.answers.values())}: {dict(self.answers)}")
        print(
            f"answered in                  p50 {1000 * statistics.median(self.seconds):.0f} ms, "
            f"p95 {1000 * quantile(self.seconds, 0.95):.0f} ms, max {1000 * max(self.seconds):.0f} ms"
        )
        print(f"changes noted                {len(rows)} of {CHANGES + ALONE}")
        print(f"told before the sweep        {before}; the sweep took {swept:.1f} s")
        print(
            f"changes with exactly one run {counts[1]} of {CHANGES + ALONE}; with none {counts[0]}, with more "
            f"{sum(n for runs, n in counts.items() if runs > 1)}"
        )
        print(f"read by a run that began before the change   {len(early)}")
        print(f"runs                         {len(runs)}, none twice: {max(per_key.values()) == 1}")
        print(
            f"alone: sent -> its run exists  p50 {statistics.median(alone):.2f} s, max {max(alone):.2f} s, of {ALONE}"
            " (the debounce of 0.5 s is in it)"
        )

    @staticmethod
    def noted(row: Any) -> float:
        return datetime.fromisoformat(row.created_at).timestamp()


def push(before: str, after: str) -> tuple[dict[str, str], bytes]:
    repository = {"clone_url": f"{REPOSITORY}.git", "default_branch": "main", "pushed_at": int(time.time())}
    commits = [{"id": after, "added": [], "modified": ["guide.md"], "removed": []}]
    flags = {"created": False, "deleted": False, "forced": False}
    told = {"ref": "refs/heads/main", "before": before, "after": after, "commits": commits, "repository": repository}
    body = json.dumps(told | flags).encode()
    signed = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    names = {"X-GitHub-Event": "push", "X-GitHub-Delivery": str(uuid4()), "X-Hub-Signature-256": f"sha256={signed}"}
    return names | {"Content-Type": "application/json"}, body


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def wait_for(url: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if httpx.get(url, timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise SystemExit(f"{url} does not answer within {seconds:.0f} s.")


def kill(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None and process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


if __name__ == "__main__":
    main()
