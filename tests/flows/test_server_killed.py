"""A Prefect server killed and started again: runs in the middle go on, and events are told, as production is set up."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import yaml

from flows.bringing_up import environment
from infra.deploy.processes import NO_TLS, Ports

pytestmark = pytest.mark.long

COMPOSE = Path(__file__).parents[2] / "infra" / "deploy" / "compose.yaml"
PATIENCE_SECONDS = 120.0  # of a busy machine
EVENTS = 10  # in each half
AS_IT_SHOULD = ("RUNNING", "REJECT", "COMPLETED", "ACCEPT")  # of `goes_on`

# Goes on until it is told a line. Prefect renews a run's concurrency slot every 225 s and ends a run whose slot is not
# known any more; here it is every second, and it is said when it was.
WAITS = """
import asyncio, sys, time
from uuid import UUID
from prefect import flow, get_client
from prefect.concurrency import _leases
from prefect.flow_engine import run_flow_async

_leases._RENEWAL_FRACTION = 1 / 300
renew = _leases._renew_concurrency_lease_with_retries

def renew_and_say(*given):
    begun, done = time.time(), renew(*given)
    print(begun, flush=True)
    return done

_leases._renew_concurrency_lease_with_retries = renew_and_say

@flow(name="waits")
async def waits():
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin, over.set)
    await over.wait()

async def main():
    async with get_client() as client:
        await run_flow_async(waits, flow_run=await client.read_flow_run(UUID(sys.argv[1])))

asyncio.run(main())
"""


@pytest.mark.xdist_group("prefect")
def test_a_run_goes_on_though_the_server_of_ratchet_up_was_killed(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    with Server(tmp_path, environment(tmp_path / "home", "", Ports())) as server:
        assert goes_on(server) == AS_IT_SHOULD


def test_in_production_a_run_goes_on_and_no_event_is_lost_though_the_server_was_killed(
    tmp_path: Path, postgres_url: str, redis_port: int
) -> None:
    given = yaml.safe_load(COMPOSE.read_text())["services"]["prefect"]["environment"]
    database = postgres_url.replace("postgresql:", "postgresql+asyncpg:")
    here = NO_TLS | {
        "PREFECT_API_DATABASE_CONNECTION_URL": database,
        "PREFECT_REDIS_MESSAGING_HOST": "127.0.0.1",
        "PREFECT_REDIS_MESSAGING_PORT": str(redis_port),
        "PREFECT_HOME": str(tmp_path / "prefect"),
    }
    assert here.keys() - {"PREFECT_REDIS_MESSAGING_PORT", "PREFECT_HOME"} <= given.keys()
    with Server(tmp_path, os.environ | given | here) as server:
        counts = one_run_per_event(server)
        post_events(server, range(EVENTS))
        assert goes_on(server, lambda: post_events(server, range(EVENTS, 2 * EVENTS))) == AS_IT_SHOULD
        of_counts = {"flow_runs": {"deployment_id": {"any_": [counts]}}, "limit": 200}

        def told() -> set[int]:  # a kill between a run and the note of it makes a second run: at least once
            return {int(run["parameters"]["n"]) for run in server.asked("/flow_runs/filter", of_counts)}

        eventually(lambda: told() == set(range(2 * EVENTS)))
        assert told() == set(range(2 * EVENTS))


def goes_on(server: Server, afterwards: Callable[[], None] = lambda: None) -> tuple[str, str, str, str]:
    """Of a run with a concurrency slot, through whose middle the server is killed, and of one that waits for the slot:

    the first's state after the kill, whether the second may start then, the first's state at its end, and the second.
    """
    deployment = server.deployment("waits", concurrency_limit=1)
    first, second = (server.asked(f"/deployments/{deployment}/create_flow_run", {})["id"] for _ in range(2))
    assert server.set_state(first, "PENDING") == "ACCEPT"
    with process(server, first) as run:
        assert run.stdout is not None
        assert float(run.stdout.readline()) > 0
        server.kill()
        server.start()
        up = time.time()
        afterwards()
        while float(run.stdout.readline()) < up:  # a run that was ended says nothing
            pass
        lives, second_waits = server.asked(f"/flow_runs/{first}")["state_type"], server.set_state(second, "PENDING")
        run.communicate("end\n", timeout=PATIENCE_SECONDS)
    ends = server.asked(f"/flow_runs/{first}")["state_type"]
    return lives, second_waits, ends, server.set_state(second, "PENDING")


def one_run_per_event(server: Server) -> str:
    """Id of the deployment that an automation starts for every event `counted`."""
    deployment = server.deployment("counts")
    trigger = {
        "type": "event",
        "expect": ["counted"],
        "for_each": ["prefect.resource.id"],
        "posture": "Reactive",
        "threshold": 1,
        "within": 0,
    }
    number = {"__prefect_kind": "jinja", "template": "{{ event.payload.n | default(-1) }}"}
    action = {"type": "run-deployment", "source": "selected", "deployment_id": deployment, "parameters": {"n": number}}
    server.asked("/automations/", {"name": "counts", "trigger": trigger, "actions": [action]})
    return deployment


def post_events(server: Server, numbers: range) -> None:
    for number in numbers:
        resource = {"prefect.resource.id": f"counted.{number}"}
        event = {"id": str(uuid4()), "occurred": datetime.now(UTC).isoformat(), "event": "counted"}
        told = event | {"resource": resource, "payload": {"n": number}}
        httpx.post(f"{server.api}/events", json=[told], timeout=30).raise_for_status()


class Server:
    """A Prefect server of its own, which can be killed. Its folder holds its log."""

    def __init__(self, folder: Path, given: Mapping[str, str]) -> None:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.port = one.getsockname()[1]
        self.api = f"http://127.0.0.1:{self.port}/api"
        self.log = folder / "server.log"
        self.environment = {**given, "PREFECT_API_URL": self.api, "DO_NOT_TRACK": "1"}

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        command = [sys.executable, "-m", "prefect", "server", "start", "--no-ui", "--port", str(self.port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        try:
            eventually(self._answers, f"see {self.log}")
        except AssertionError:
            self.kill()
            raise

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return httpx.get(f"{self.api}/health", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def asked(self, path: str, body: Any = None) -> Any:
        """Its answer. SQLite under it may be busy and say 503; then it is asked again, as Prefect's own client does."""
        end = time.monotonic() + PATIENCE_SECONDS
        with httpx.Client(base_url=self.api, timeout=30) as http:
            while (answer := http.get(path) if body is None else http.post(path, json=body)).status_code == 503:
                assert time.monotonic() < end, f"busy for {PATIENCE_SECONDS} s: see {self.log}"
                time.sleep(0.2)
            return answer.raise_for_status().json()

    def deployment(self, name: str, **more: Any) -> str:
        flow = self.asked("/flows/", {"name": name})["id"]
        asked = {"name": name, "flow_id": flow, "enforce_parameter_schema": False}
        return str(self.asked("/deployments/", asked | more)["id"])

    def set_state(self, run: str, kind: str) -> str:
        return str(self.asked(f"/flow_runs/{run}/set_state", {"state": {"type": kind}})["status"])


@contextmanager
def process(server: Server, run: str) -> Iterator[subprocess.Popen[str]]:
    """The process of a run, as a worker starts one."""
    environ = {**server.environment, "PREFECT_LOGGING_LEVEL": "ERROR"}
    command = [sys.executable, "-c", WAITS, run]
    with subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        yield started
        started.kill()


def eventually(holds: Callable[[], bool], what: str = "") -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < until, f"It did not happen in time. {what}"
        time.sleep(0.2)
