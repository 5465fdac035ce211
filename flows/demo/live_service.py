"""The answer service on a free port of this machine, for as long as the demo asks it something."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from flows.serving import service_of
from infra.workbench import Workbench


@contextmanager
def running_service(bench: Workbench) -> Iterator[str]:
    """Its base URL, once it answers."""
    config = uvicorn.Config(service_of(bench), host="127.0.0.1", port=0, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise RuntimeError("The answer service did not start; run `ratchet serve` to see why.")
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.should_exit = True
        thread.join(timeout=10)
