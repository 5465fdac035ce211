"""What an installation runs: one table, for `ratchet up` on one machine and for the files that run it on many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infra.deploy.catalogue import PoolType

LIGHT_POOL, TRAINING_POOL = "ratchet", "ratchet-training"


@dataclass(frozen=True, slots=True)
class Process:
    """One program. health: the path that answers 200 once it is ready; None for a worker, whom the API knows.

    is_killed: it and what it started are killed instead of asked to end. A worker that is asked leaves its runs
    `Running` or has them crash; of one that was killed all are found, and begun again where they were.
    """

    name: str
    command: tuple[str, ...]
    port: int | None = None
    health: str | None = None
    pool: str | None = None
    is_killed: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the three servers listen."""

    prefect: int = 4200
    hooks: int = 8322
    service: int = 8321


WORKER = {
    "PREFECT_WORKER_QUERY_SECONDS": "1",  # a run waits half as long as this for its worker, on average
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "60",  # without it nothing tells that a run's process is gone
}
WORKER_HEALTH = 8080  # Prefect's own default
SERVER = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
NO_TLS = {
    # For an API at http:// only. Prefect's client reads certifi's 150 authorities three times a run, for such an API
    # too; it reads this one file instead, whose key nobody has: where there is TLS after all, it is refused.
    "PREFECT_API_SSL_CERT_FILE": str(Path(__file__).with_name("no-authority.pem"))
}


def processes(ports: Ports | None = None, host: str = "127.0.0.1", pools: PoolType = "process") -> tuple[Process, ...]:
    """In the order in which they are needed. host: where the servers listen; 0.0.0.0 in a container.

    pools: workers do the runs themselves, or have Kubernetes do each in a job.
    """
    ports = ports or Ports()
    return (
        Process(
            "prefect",
            ("prefect", "server", "start", "--host", host, "--port", str(ports.prefect)),
            ports.prefect,
            "/api/health",
            environment=SERVER,
        ),
        Process(
            "service", ("ratchet", "serve", "--host", host, "--port", str(ports.service)), ports.service, "/healthz"
        ),
        Process(
            "hooks", ("ratchet", "hooks", "serve", "--host", host, "--port", str(ports.hooks)), ports.hooks, "/healthz"
        ),
        *(_submitters() if pools == "kubernetes" else _workers()),
    )


def _workers() -> tuple[Process, ...]:
    return _worker("worker", LIGHT_POOL), _worker("trainer", TRAINING_POOL, "--limit", "1")


def _worker(name: str, pool: str, *limits: str) -> Process:
    command = ("prefect", "worker", "start", "--type", "process", "--pool", pool, *limits)
    return Process(name, command, pool=pool, is_killed=True, environment=WORKER)


def _submitters() -> tuple[Process, ...]:
    """How many runs go on at once is the pool's limit: these have forgotten a run once its job is there."""
    return tuple(
        Process(
            name,
            ("prefect", "worker", "start", "--type", "kubernetes", "--pool", pool, "--with-healthcheck"),
            WORKER_HEALTH,
            "/health",
            pool=pool,
            environment={"PREFECT_WORKER_QUERY_SECONDS": WORKER["PREFECT_WORKER_QUERY_SECONDS"]},
        )
        for name, pool in (("worker", LIGHT_POOL), ("trainer", TRAINING_POOL))
    )
