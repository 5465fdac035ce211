"""A real Redis server for the tests that need one, on a port and in a folder of its own."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path


def why_no_redis() -> str | None:
    """What is missing, for the person who wants these tests to run."""
    if shutil.which("redis-server") is None:
        return "redis-server is not installed (apt-get install redis-server, or brew install redis)"
    if importlib.util.find_spec("prefect_redis") is None:
        return "prefect-redis is not installed (pip install 'ratchet[redis]')"
    return None


@contextmanager
def running_redis() -> Iterator[int]:
    """Port of an empty server that keeps what it was told as in production; it is gone after the block."""
    folder, port = Path(tempfile.mkdtemp(prefix="ratchet-redis-")), _free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--appendonly", "yes"]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait_for(port, server, folder / "server.log")
        yield port
    finally:
        server.terminate()
        server.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 10
    while server.poll() is None and time.monotonic() < until:
        with closing(socket.socket()) as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"redis-server does not listen:\n{log.read_text()[-2000:]}")


def _free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
