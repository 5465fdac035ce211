"""A Weaviate server for development and tests, without Docker: found or built, started, and ended with its starter.

    python -m infra.deploy.weaviate_server                     # runs until Ctrl-C and prints what to export
    python -m infra.deploy.weaviate_server --build-only        # only makes sure that there is one

One node, without replicas, and without a password unless a key is given. HTTP listens on 127.0.0.1; Weaviate's gRPC
and its data port listen on every address of the machine, so give a key where others can reach it.
"""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from infra.deploy.weaviate_binary import find_or_build
from tasks.core.errors import IndexUnavailable, RatchetError

READY_SECONDS = 90.0
STOP_SECONDS = 20.0
STARTS = 3  # on other ports each time
PORT_TAKEN = "address already in use"
USER = "ratchet"
WATCHDOG = Path(__file__).with_name("watchdog.py")


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that answers."""

    url: str
    grpc_port: int
    pid: int = 0  # of the server itself; 0 when somebody else started it


@dataclass(frozen=True, slots=True)
class Ports:
    """Every port one node listens on. No two are equal."""

    http: int
    grpc: int
    gossip: int
    data: int  # gossip + 1, and the last is raft + 1: one node finds its own parts by that
    raft: int
    raft_rpc: int


@contextmanager
def find_or_run(folder: Path) -> Iterator[RunningServer]:
    """The server that RATCHET_WEAVIATE_URL names, or else one of our own with its data in `folder`.

    Raises IndexUnavailable when the named one is not ready, or none can be had.
    """
    named = os.environ.get("RATCHET_WEAVIATE_URL")
    if not named:
        with run(folder) as server:
            yield server
    elif not is_ready(named):
        raise IndexUnavailable(f"RATCHET_WEAVIATE_URL is {named}, and no Weaviate server is ready there.", url=named)
    else:
        print(f"Weaviate server: {named} (RATCHET_WEAVIATE_URL names it).", file=sys.stderr)
        yield RunningServer(named, int(os.environ.get("RATCHET_WEAVIATE_GRPC_PORT", "50051")))


@contextmanager
def run(
    folder: Path, binary: Path | None = None, *, ports: Ports | None = None, api_key: str | None = None
) -> Iterator[RunningServer]:
    """A server whose data is in `folder`, for as long as the block lasts; it is ended when this process ends.

    Raises IndexUnavailable when there is no binary, or it is not ready after 90 seconds. The log is in `folder` too.
    """
    found = binary or find_or_build()
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        if ports:
            yield stack.enter_context(_run_on(ports, folder, found, api_key))
            return
        for left in reversed(range(STARTS)):
            try:
                server = stack.enter_context(_run_on(free_ports(), folder, found, api_key))
                break
            except IndexUnavailable as error:  # a port that was free a moment ago may be somebody's by now
                if not left or PORT_TAKEN not in error.message:
                    raise
        yield server


@contextmanager
def _run_on(ports: Ports, folder: Path, binary: Path, api_key: str | None) -> Iterator[RunningServer]:
    with ExitStack() as stack:
        log = stack.enter_context((folder / "server.log").open("ab"))
        watchdog = stack.enter_context(_started(binary, folder, ports, api_key, log.fileno()))
        assert watchdog.stdout is not None
        pid = int(watchdog.stdout.readline() or 0)
        server = RunningServer(f"http://127.0.0.1:{ports.http}", ports.grpc, pid)
        _wait_until_ready(server, watchdog, folder / "server.log")
        yield server


@contextmanager
def _started(
    binary: Path, folder: Path, ports: Ports, api_key: str | None, log: int
) -> Iterator[subprocess.Popen[bytes]]:
    where = ["--scheme", "http", "--host", "127.0.0.1", "--port", str(ports.http)]
    limits = ["--read-timeout=600s", "--write-timeout=600s"]
    watchdog = subprocess.Popen(
        [sys.executable, str(WATCHDOG), str(STOP_SECONDS), str(binary), *where, *limits],
        env=_environment(folder, ports, api_key),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
    )
    try:
        yield watchdog
    finally:
        for pipe in (watchdog.stdin, watchdog.stdout):
            if pipe:
                pipe.close()
        try:
            watchdog.wait(STOP_SECONDS + 5)
        except subprocess.TimeoutExpired:
            watchdog.kill()
            watchdog.wait()


def _environment(folder: Path, ports: Ports, api_key: str | None) -> dict[str, str]:
    """What one node needs to know. Raft's waiting times are for networks; alone, a node may hurry."""
    ours = {
        "PERSISTENCE_DATA_PATH": str(folder / "data"),
        "AUTOSCHEMA_ENABLED": "false",
        "DEFAULT_VECTORIZER_MODULE": "none",
        "ENABLE_MODULES": "",
        "DISABLE_TELEMETRY": "true",
        "GO_PROFILING_DISABLE": "true",
        "LOG_LEVEL": "warning",
        "CLUSTER_HOSTNAME": "node1",  # part of the data: another name would not find what this one wrote
        "CLUSTER_IN_LOCALHOST": "true",
        "CLUSTER_BIND_ADDR": "127.0.0.1",
        "CLUSTER_ADVERTISE_ADDR": "127.0.0.1",
        "CLUSTER_GOSSIP_BIND_PORT": str(ports.gossip),
        "CLUSTER_DATA_BIND_PORT": str(ports.data),
        "RAFT_BOOTSTRAP_EXPECT": "1",
        "RAFT_TIMEOUTS_MULTIPLIER": "1",
        "RAFT_PORT": str(ports.raft),
        "RAFT_INTERNAL_RPC_PORT": str(ports.raft_rpc),
        "GRPC_PORT": str(ports.grpc),
        "GOMAXPROCS": str(min(4, os.cpu_count() or 1)),
        "GOMEMLIMIT": "4GiB",
    }
    return {**os.environ, **ours, **_access(api_key)}


def _access(api_key: str | None) -> Mapping[str, str]:
    if api_key is None:
        return {"AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "true"}
    return {
        "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "false",
        "AUTHENTICATION_APIKEY_ENABLED": "true",
        "AUTHENTICATION_APIKEY_ALLOWED_KEYS": api_key,
        "AUTHENTICATION_APIKEY_USERS": USER,
        "AUTHORIZATION_ADMINLIST_ENABLED": "true",
        "AUTHORIZATION_ADMINLIST_USERS": USER,
    }


def _wait_until_ready(server: RunningServer, watchdog: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + READY_SECONDS
    while not is_ready(server.url):
        if watchdog.poll() is not None or time.monotonic() > until:
            ended = f"ended with code {watchdog.returncode}" if watchdog.returncode is not None else "was not ready"
            last = log.read_text(errors="replace").splitlines()[-3:]
            raise IndexUnavailable(
                f"The Weaviate server {ended} within {READY_SECONDS:.0f} s of its start. The end of {log}:\n"
                + "\n".join(line[:300] for line in last)
            )
        time.sleep(0.1)


def is_ready(url: str) -> bool:
    """Whether a server answers at an address, and takes requests."""
    with (
        suppress(OSError, urllib.error.URLError),
        urllib.request.urlopen(f"{url.rstrip('/')}/v1/.well-known/ready", timeout=2) as answer,
    ):
        return bool(answer.status == 200)
    return False


def free_ports(http: int = 0, grpc: int = 0) -> Ports:
    """Ports that nothing listened on a moment ago; `http` and `grpc` as given, unless they are 0."""
    with ExitStack() as held:
        gossip, raft = _two_in_a_row(held), _two_in_a_row(held)
        return Ports(http or _free(held), grpc or _free(held), gossip, gossip + 1, raft, raft + 1)


def _free(held: ExitStack, port: int = 0) -> int:
    listener = held.enter_context(closing(socket.socket()))
    listener.bind(("", port))
    return int(listener.getsockname()[1])


def _two_in_a_row(held: ExitStack) -> int:
    for _ in range(100):
        first = _free(held)
        with suppress(OSError, OverflowError):
            _free(held, first + 1)
            return first
    raise IndexUnavailable("No two neighbouring ports are free on this machine; a Weaviate server needs them.")


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m infra.deploy.weaviate_server", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--build-only", action="store_true", help="make sure that there is a binary, and print it")
    parser.add_argument("--data", type=Path, default=Path(".ratchet/weaviate"), help="folder of the data")
    parser.add_argument("--port", type=int, default=8080, help="of HTTP (default: 8080)")
    parser.add_argument("--grpc-port", type=int, default=50051, help="of gRPC (default: 50051)")
    parser.add_argument("--with-key", action="store_true", help="ask for an API key, a new one at every start")
    asked = parser.parse_args(arguments)
    try:
        if asked.build_only:
            print(find_or_build())
        else:
            _run_until_stopped(asked)
    except RatchetError as error:
        sys.exit(error.message)


def _run_until_stopped(asked: argparse.Namespace) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    key = secrets.token_urlsafe(24) if asked.with_key else None
    ports = free_ports(asked.port, asked.grpc_port)
    with suppress(KeyboardInterrupt), run(asked.data.resolve(), ports=ports, api_key=key) as server:
        print(f"Weaviate is ready at {server.url}; its data and log are in {asked.data}. Ctrl-C ends it.\n")
        print(f"export RATCHET_WEAVIATE_URL={server.url} RATCHET_WEAVIATE_GRPC_PORT={server.grpc_port}")
        if key:
            print(f"export RATCHET_WEAVIATE_API_KEY={key}")
        sys.stdout.flush()
        while is_alive(server.pid):
            time.sleep(1)
        sys.exit(f"The server ended by itself; see {asked.data}/server.log.")


def is_alive(pid: int) -> bool:
    """Whether a process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    main()
