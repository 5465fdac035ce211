"""`ratchet serve`: the answer service on this machine. No Prefect."""

from __future__ import annotations

import click
import uvicorn

from flows.listening import require_free
from infra.service.open_service import service_of as service_of  # by this name for whoever serves it otherwise
from infra.settings import load_settings
from infra.workbench import open_workbench


def serve_answers(host: str | None, port: int | None) -> None:
    """Serves until interrupted."""
    settings = load_settings()
    host = host or settings.service_host
    port = settings.service_port if port is None else port
    require_free(host, port)
    click.echo(f"Answering on http://{host}:{port}/v1 (OpenAI-compatible). Stop with Ctrl-C.", err=True)
    uvicorn.run(service_of(open_workbench("default", settings)), host=host, port=port, log_level="warning")
