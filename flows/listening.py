"""Whether an address can be listened on: asked before anything large is loaded."""

from __future__ import annotations

import socket
from contextlib import closing

from tasks.core.errors import UsageError


def why_taken(host: str, port: int) -> str | None:
    """What the machine says against listening there; None when nothing."""
    with closing(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return None


def require_free(host: str, port: int) -> None:
    """Raises UsageError where nothing can listen on this address."""
    reason = why_taken(host, port)
    if reason is not None:
        raise UsageError(
            f"Nothing can listen on {host}:{port}: {reason}. Stop what listens there, or choose another port: --port."
        )
