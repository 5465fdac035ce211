"""`ratchet serve`: the answer service on this machine. No Prefect."""

from __future__ import annotations

import click
import uvicorn
from fastapi import FastAPI

from infra.service.app import create_app
from infra.service.catalog_desk import CatalogDesk
from infra.settings import load_settings
from infra.workbench import Workbench, open_workbench


def service_of(bench: Workbench) -> FastAPI:
    """The service over a workbench's catalog; it serves every assistant of it."""
    return create_app(CatalogDesk(bench.engine, bench.answering), api_key=bench.settings.api_key)


def serve_answers(host: str | None, port: int | None) -> None:
    """Serves until interrupted."""
    settings = load_settings()
    host = host or settings.service_host
    port = settings.service_port if port is None else port
    click.echo(f"Answering on http://{host}:{port}/v1 (OpenAI-compatible). Stop with Ctrl-C.", err=True)
    uvicorn.run(service_of(open_workbench("default", settings)), host=host, port=port, log_level="warning")
