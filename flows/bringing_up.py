"""`ratchet up`: Prefect server, deployments, workers, webhook receiver and answer service on this machine."""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import httpx

from flows.listening import why_taken
from infra.deploy.interrupted_runs import begin_again
from infra.deploy.processes import LIGHT_POOL, NO_TLS, TRAINING_POOL, Ports, Process, processes
from infra.deploy.supervision import Supervisor, resolved
from infra.offline import QUIET
from infra.settings import load_settings
from tasks.core.errors import RatchetError, UsageError

POOLS = (LIGHT_POOL, TRAINING_POOL)
WORKERS = ("worker", "trainer")
POOL_OF = dict(zip(WORKERS, POOLS, strict=True))
READY_SECONDS = 120.0
MARGIN = timedelta(seconds=2)  # between the end of a worker and what its runs said of it
SLOTS = {  # who holds a concurrency slot: a server that forgot it, by a restart, ends the run at the next renewal
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem"
}
COLOURS = {"prefect": "blue", "service": "green", "hooks": "magenta", "worker": "cyan", "trainer": "yellow"}


def bring_up(ports: Ports) -> None:
    """Runs until Ctrl-C or SIGTERM. Raises UsageError where this home is up already, or a port is taken.

    RatchetError when one of the programs cannot be kept running.
    """
    home = load_settings().home.expanduser().resolve()
    stop = threading.Event()
    with only_one(home):
        named = os.environ.get("PREFECT_API_URL")
        wanted = [one for one in processes(ports) if not (named and one.name == "prefect")]
        require_free(wanted)
        api = named or f"http://127.0.0.1:{ports.prefect}/api"
        supervisor = Supervisor(_say, environment(home, api, ports, own_server=not named))
        with _told_to_stop(stop):
            try:
                _start(supervisor, wanted, api, stop, own_server=not named)
                _welcome(ports, api)
                _keep(supervisor, api, stop, own_server=not named)
            finally:
                _end(supervisor, wanted, api, own_server=not named)


def chosen_ports(prefect: int, service: int | None, hooks: int | None) -> Ports:
    """The ports that were asked for, else those of the settings."""
    settings = load_settings()
    return Ports(prefect, hooks or settings.webhook_port, service or settings.service_port)


def environment(home: Path, api: str, ports: Ports, *, own_server: bool = True) -> dict[str, str]:
    """What the programs find: this process's environment, one home, one Prefect API, one service, and no telemetry."""
    own = {
        "RATCHET_HOME": str(home),
        "RATCHET_SERVICE_PORT": str(ports.service),
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_API_URL": api,
    }
    return {**QUIET, **SLOTS, **(NO_TLS if own_server else {}), **os.environ, **own}


@contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Raises UsageError while another `ratchet up` runs on this home. The lock ends with the process."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            pid = lock.read().strip() or "?"
            raise UsageError(
                f"ratchet up runs on {home} already (process {pid}). Stop that one first, or set another RATCHET_HOME."
            ) from None
        lock.seek(0)
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def require_free(wanted: Sequence[Process]) -> None:
    """Raises UsageError naming the ports that somebody listens on, and the options that choose others."""
    taken = [one for one in wanted if one.port is not None and why_taken("127.0.0.1", one.port)]
    if taken:
        said = ", ".join(f"{one.port} (--{one.name}-port)" for one in taken)
        raise UsageError(f"In use already: port {said}. Stop what listens there, or choose another port.")


@contextmanager
def _told_to_stop(stop: threading.Event) -> Iterator[None]:
    """Ctrl-C and SIGTERM set the event; both again change nothing while things are being ended."""
    before = {one: signal.signal(one, lambda *_: stop.set()) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _start(
    supervisor: Supervisor, wanted: Sequence[Process], api: str, stop: threading.Event, *, own_server: bool
) -> None:
    servers = [one for one in wanted if one.health]
    for one in servers:
        supervisor.start(one)
    if own_server:
        _wait(f"{api}/health", "prefect", supervisor, stop)
        _told(begin_again(api, POOLS))  # of a time before, which ended without a word
    if not stop.is_set():
        _deploy(supervisor.environment)
    for one in wanted:
        if one.pool and not stop.is_set():
            supervisor.start(one)
    for one in servers:
        _wait(f"http://127.0.0.1:{one.port}{one.health}", one.name, supervisor, stop)


def directly() -> str:
    """The command that starts a run in this interpreter's environment, with no other one before it."""
    return shlex.join((sys.executable, "-m", "prefect.engine"))


def _deploy(environ: Mapping[str, str]) -> None:
    """Pools, deployments, automations: brought in line before a worker asks; these workers do the runs themselves."""
    here = {"RATCHET_RUN_COMMAND": directly(), **environ, "RATCHET_WORK_POOLS": "process"}
    done = subprocess.run(resolved(("ratchet", "deploy")), env=here, capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        _say("deploy", line)
    if done.returncode:
        raise RatchetError(f"`ratchet deploy` failed: {done.stderr.strip() or done.stdout.strip()}")


def _wait(url: str, name: str, supervisor: Supervisor, stop: threading.Event) -> None:
    until = time.monotonic() + READY_SECONDS
    while not _answers(url):
        if stop.is_set():
            return
        if name in supervisor.ended():
            raise RatchetError(f"{name} ended before it was ready. What it said is above.")
        if time.monotonic() > until:
            raise RatchetError(f"{name} does not answer at {url} after {READY_SECONDS:.0f} s. What it said is above.")
        stop.wait(0.2)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _keep(supervisor: Supervisor, api: str, stop: threading.Event, *, own_server: bool) -> None:
    looked = datetime.now(UTC)
    while not stop.wait(1):
        before, looked = looked, datetime.now(UTC)
        for name, code in supervisor.ended().items():
            _say(name, f"ended with exit code {code}; it is started again")
            if own_server and name in WORKERS:  # its runs ended with it, and before the next one nobody else has any
                with suppress(httpx.HTTPError):  # a server that is away: then tend-runs does it
                    _told(begin_again(api, [POOL_OF[name]], crashed_since=before - MARGIN))
            if not supervisor.restart(name):
                raise RatchetError(f"{name} ends again and again. What it said is above; then run ratchet up again.")


def _end(supervisor: Supervisor, wanted: Sequence[Process], api: str, *, own_server: bool) -> None:
    """Workers and their runs first, while the server can still be told what became of them."""
    _say("up", "stopping")
    supervisor.end(WORKERS)
    if own_server:
        with suppress(Exception):  # whatever stands in the way: the next start does it
            _told(begin_again(api, POOLS))
    supervisor.end(tuple(one.name for one in reversed(wanted) if one.name not in WORKERS))
    _say("up", "stopped; nothing runs any more")


def _told(names: Sequence[str]) -> None:
    for name in names:
        _say("up", f"{name} was interrupted; a worker begins it again")


def _welcome(ports: Ports, api: str) -> None:
    ui = api.removesuffix("/api")
    ratchet = "ratchet" if shutil.which("ratchet") else str(Path(sys.executable).with_name("ratchet"))
    lines = [
        "",
        f"Prefect          {ui}",
        f"Answers          http://127.0.0.1:{ports.service}/v1   (OpenAI-compatible)",
        f"Webhooks         http://127.0.0.1:{ports.hooks}/hooks/…",
        "",
        "Try first, in another terminal:",
        f"  export PREFECT_API_URL={api}",
        f"  {ratchet} ingest FOLDER     # your documents; then they are kept current every hour",
        f'  {ratchet} ask "…"',
        "Stop with Ctrl-C. Run ratchet up again to go on.",
        "",
    ]
    for line in lines:
        click.echo(line)


_lock = threading.Lock()


def _say(name: str, line: str) -> None:
    head = f"{name:<8}│"
    with _lock:
        click.echo(f"{click.style(head, fg=COLOURS.get(name)) if sys.stdout.isatty() else head} {line}")
