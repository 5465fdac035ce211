"""`ratchet hooks serve`: the webhook receiver on this machine. No Prefect in its process."""

from __future__ import annotations

import logging

import click
import uvicorn

from flows.listening import require_free
from infra.settings import load_settings
from infra.webhooks.open_receiver import receiver_of

AT_ONCE = 64  # bodies are held in memory until they are believed; more than this is answered with 503


def serve_hooks(host: str | None, port: int | None) -> None:
    """Serves until interrupted."""
    settings = load_settings()
    host = host or settings.webhook_host
    port = settings.webhook_port if port is None else port
    require_free(host, port)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs URLs
    click.echo(f"Webhooks are taken at http://{host}:{port}/hooks/… Stop with Ctrl-C.", err=True)
    uvicorn.run(
        receiver_of(settings),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        limit_concurrency=AT_ONCE,
        timeout_graceful_shutdown=10,
    )
