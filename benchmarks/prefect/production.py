"""Ratchet as it runs on several machines, on this one: PostgreSQL, Redis, a Prefect server, workers, a receiver.

PostgreSQL and Redis are Debian's packages (apt-get install postgresql redis-server). Both of Ratchet's databases are
on the one server: the catalog and Prefect's own. Whoever embeds is a server that speaks OpenAI's protocol, is slow on
purpose, and remembers every text that it was asked for.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "fakes"))

from catalog_servers import on_server, running_postgres, why_no_postgres, with_database
from openai_embeddings_fake import KEY, EmbeddingsServer, Fault, embeddings_server
from redis_server import running_redis, why_no_redis
from tiny_llama import tiny_llama
from up_ready import free_port

from infra.deploy.processes import NO_TLS, SERVER, WORKER

ROOT = Path(__file__).parents[2]
SECRET = "a-secret-for-this-benchmark-only"
COMPOSE = yaml.safe_load((ROOT / "infra" / "deploy" / "compose.yaml").read_text())
BIN = Path(sys.executable).parent


@contextmanager
def production(folder: Path, *, redis: bool, seconds_a_batch: float) -> Iterator[Production]:
    """A server, and whatever is started in the block; nothing of it runs after it."""
    if why := why_no_postgres() or why_no_redis():
        sys.exit(f"This benchmark needs PostgreSQL and Redis: {why}.")
    with running_postgres() as postgres, running_redis() as port, embeddings_server() as witness:
        for name in ("prefect", "ratchet"):
            on_server(postgres, f"CREATE DATABASE {name}")
        witness.faults += [Fault(seconds=seconds_a_batch)] * 100_000
        given = {
            "PREFECT_API_DATABASE_CONNECTION_URL": with_database(postgres, "prefect").replace(":", "+asyncpg:", 1),
            "RATCHET_DATABASE_URL": with_database(postgres, "ratchet"),
        }
        if redis:
            wanted = COMPOSE["services"]["prefect"]["environment"]
            here = {"PREFECT_REDIS_MESSAGING_HOST": "127.0.0.1", "PREFECT_REDIS_MESSAGING_PORT": str(port)}
            given = {name: value for name, value in wanted.items() if "prefect_redis" in value} | here | given
        with running(Production(folder, witness, given)) as place:
            yield place


@contextmanager
def server_on_sqlite(folder: Path) -> Iterator[Production]:
    """The same with every database in a file and events in the server's memory."""
    with embeddings_server() as witness, running(Production(folder, witness, {})) as place:
        yield place


@contextmanager
def running(place: Production) -> Iterator[Production]:
    try:
        place.start_server()
        yield place
    finally:
        place.close()


class Production:
    """The processes, each with a log of its own in the folder. given: where databases and events are."""

    def __init__(self, folder: Path, witness: EmbeddingsServer, given: dict[str, str]) -> None:
        self.folder, self.witness = folder, witness
        self.port, self.hooks_port = free_port(), free_port()
        self.api = f"http://127.0.0.1:{self.port}/api"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "RATCHET_"))}
        ours = {
            "PYTHONPATH": str(ROOT),
            "DO_NOT_TRACK": "1",
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_URL": self.api,
            "RATCHET_HOME": str(folder / "home"),
            "RATCHET_BASE_MODEL": str(tiny_llama(folder / "base")),
            "RATCHET_EMBEDDER": "openai:tiny-embedding",
            "RATCHET_OPENAI_BASE_URL": witness.url,
            "RATCHET_OPENAI_API_KEY": KEY,
            "RATCHET_PARSE_PROCESSES": "1",
            "RATCHET_TORCH_THREADS": "1",
            "RATCHET_WEBHOOK_SECRETS__GENERIC": SECRET,
        }
        self.environment = kept | SERVER | WORKER | NO_TLS | ours | given
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    # ── processes ────────────────────────────────────────────────────────────────────────────────────────────────────

    def start_server(self) -> None:
        self.start("server", [str(BIN / "prefect"), "server", "start", "--no-ui", "--port", str(self.port)])
        self.wait_for(f"{self.api}/health")

    def start_worker(self, name: str) -> None:
        self.start(name, [str(BIN / "prefect"), "worker", "start", "--type", "process", "--pool", "ratchet"])

    def start_receiver(self) -> None:
        self.start("receiver", [sys.executable, "-m", "flows.cli", "hooks", "serve", "--port", str(self.hooks_port)])
        self.wait_for(f"http://127.0.0.1:{self.hooks_port}/healthz")

    def start(self, name: str, command: list[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, env=self.environment, cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self, name: str) -> None:
        """SIGKILL for it and whatever it started."""
        process = self.processes.pop(name)
        started = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        for one in (*started, process):
            with_no_such(one)
        process.wait()

    def close(self) -> None:
        for name in reversed([*self.processes]):
            self.kill(name)

    def busy(self) -> int:
        """How many processes the workers have for runs."""
        workers = [one for name, one in self.processes.items() if name.startswith("worker")]
        return sum(len(psutil.Process(one.pid).children(recursive=True)) for one in workers)

    def ratchet(self, *words: str, **more: str) -> Any:
        """What a command says with --json, without Prefect."""
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli", *words, "--json"],
            env=self.environment | {"PREFECT_API_URL": ""} | more,
            cwd=self.folder,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            sys.exit(f"ratchet {' '.join(words)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        return json.loads(done.stdout)

    def deploy(self, file: Path) -> None:
        command = [sys.executable, "-m", "flows.cli", "deploy", "--file", str(file)]
        done = subprocess.run(command, env=self.environment, cwd=self.folder, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"ratchet deploy failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")

    # ── what is known ────────────────────────────────────────────────────────────────────────────────────────────────

    def asked(self, path: str, body: Any = None) -> Any:
        with httpx.Client(base_url=self.api, timeout=30) as http:
            answer = http.get(path) if body is None else http.post(path, json=body)
            return answer.raise_for_status().json()

    def all_of(self, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        """Every page. What is made meanwhile moves the others on by one, so nothing is counted twice."""
        found: dict[str, dict[str, Any]] = {}
        seen = 0
        while page := self.asked(path, body | {"limit": 200, "offset": seen}):
            found |= {one["id"]: one for one in page}
            seen += len(page)
        return list(found.values())

    def texts(self) -> Counter[str]:
        """How often each text was embedded."""
        return Counter(text for request in list(self.witness.requests) for text in request["input"])

    def wait_for(self, url: str, seconds: float = 180) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                if httpx.get(url, timeout=2).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.2)
        sys.exit(f"{url} does not answer within {seconds:.0f} s; see {self.folder}.")


def with_no_such(process: psutil.Process | subprocess.Popen[bytes]) -> None:
    """Kills a process that may be gone already."""
    try:
        process.send_signal(signal.SIGKILL)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return
