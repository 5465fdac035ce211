"""The answer service over a workbench: what `ratchet serve` runs, the demo asks, and a promotion is blessed by."""

from __future__ import annotations

from fastapi import FastAPI

from infra.service.app import create_app
from infra.service.catalog_desk import CatalogDesk
from infra.workbench import Workbench


def service_of(bench: Workbench) -> FastAPI:
    """The service over a workbench's catalog; it serves every assistant of it."""
    return create_app(CatalogDesk(bench.engine, bench.answering), api_key=bench.settings.api_key)
