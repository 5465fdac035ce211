"""The answer service in a process that was started to be asked, and that ends with whoever started it.

Run by `infra/adapters/answering_process.py` as `python -m infra.service.service_child`. The first line of stdin is the
settings, keys in plain: neither the command line nor the environment shows them. The answer is a line with the port,
on 127.0.0.1. Nothing more is ever written to stdin: that it closes says that the starter is done or gone, also by a
SIGKILL.
"""

from __future__ import annotations

import os
import socket
import sys
import threading


def main() -> None:
    """Serves until stdin closes."""
    said = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # what libraries print is no port
    line = sys.stdin.buffer.readline()
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    with socket.socket(proto=socket.IPPROTO_TCP) as listening:  # named, or asyncio leaves Nagle's algorithm on
        listening.bind(("127.0.0.1", 0))
        said.write(f"{listening.getsockname()[1]}\n")
        said.close()
        _serve(line, listening)


def _serve(line: bytes, listening: socket.socket) -> None:
    import uvicorn

    from infra.service.handed_settings import from_line
    from infra.service.open_service import service_of
    from infra.workbench import open_workbench

    service = service_of(open_workbench("default", from_line(line)))
    uvicorn.Server(uvicorn.Config(service, log_level="warning")).run(sockets=[listening])


def _end_with_stdin() -> None:
    os.read(0, 1)  # nobody writes: this returns when the other end is closed
    os._exit(0)  # nothing is lost: nobody gives feedback on these answers


if __name__ == "__main__":
    main()
