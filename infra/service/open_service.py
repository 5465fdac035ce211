"""The answer service over a workbench: what `ratchet serve` runs, the demo asks, and a promotion is blessed by."""

from __future__ import annotations

from fastapi import FastAPI

from infra.service.app import create_app
from infra.service.catalog_desk import CatalogDesk
from infra.workbench import Workbench


def service_of(bench: Workbench) -> FastAPI:
    """The service over a workbench's catalog; it serves every assistant of it."""
    desk = CatalogDesk(bench.engine, bench.answering, remembered=bench.settings.remembered_responses)
    return create_app(desk, api_key=bench.settings.api_key)
