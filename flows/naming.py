"""Names of runs: which assistant, what, and why now. `handbook: refresh (schedule)`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext

CAUSE_OF_KEY = {"docs.changed:": "webhook", "labels.threshold-reached:": "threshold"}
"""How the idempotency key of a run begins that a notice of the outbox asked for, and what that means."""


def run_name(what: str) -> Callable[[], str]:
    """The name of a flow's runs, for `flow_run_name`. what: may name fields of the request in braces."""

    def name() -> str:
        context = FlowRunContext.get()
        asked: Any = (context.parameters or {}).get("request") if context is not None else None
        fields: dict[str, Any] = dict(asked or {})
        run = context.flow_run if context is not None else None
        cause = fields.get("cause") or cause_of(run)
        return f"{fields.get('assistant', 'default')}: {what.format_map(_Missing(fields))} ({cause})"

    return name


def cause_of(run: FlowRun | None) -> str:
    """Why a run was started, as far as the run itself tells: a schedule, a notice, an automation, or a person."""
    if run is None:
        return "manual"
    if run.auto_scheduled:
        return "schedule"
    key = run.idempotency_key or ""
    known = (cause for prefix, cause in CAUSE_OF_KEY.items() if key.startswith(prefix))
    if cause := next(known, None):
        return cause
    by = run.created_by.type if run.created_by else None
    return "automation" if by == "AUTOMATION" else "manual"


class _Missing(dict[str, Any]):
    def __missing__(self, name: str) -> str:
        return "?"
