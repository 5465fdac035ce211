"""Which of an assistant's flow runs were last, asked of Prefect's API over plain HTTP."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from httpx import AsyncClient, HTTPError, InvalidURL
from pydantic import BaseModel, TypeAdapter, ValidationError

from infra.adapters.prefect_runs import PrefectRuns, ask, said

Row = TypeVar("Row")
FLOWS = (
    *("reingest-docs", "refresh-assistant", "collect-labels", "retrain-model", "evaluate-release"),
    *("promote-release", "roll-back", "vacuum-index"),
)
"""Those that work for one assistant. What tells and tends every two minutes would push them out of sight."""
LOOKED_AT = 200  # newest runs of all assistants; an assistant whose last run is older shows none
PATIENCE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class LastRun:
    """at: when it began, or should have, ISO 8601, UTC. state: as Prefect names it, such as Completed or Late."""

    name: str
    flow: str
    state: str
    at: str


@dataclass(frozen=True, slots=True)
class LastRuns:
    """Newest first. unknown: why nothing is known of them; None where they are."""

    runs: tuple[LastRun, ...] = ()
    unknown: str | None = None


def last_runs(prefect: PrefectRuns, assistant: str, most: int = 5) -> LastRuns:
    """At most so many runs that have begun or are due. A server that does not answer soon is a reason, not an error."""
    try:
        found = asyncio.run(asyncio.wait_for(_found(prefect), PATIENCE_SECONDS))
    except TimeoutError:
        return LastRuns(unknown=f"Prefect has not answered within {PATIENCE_SECONDS:.0f} s.")
    except ValidationError:
        return LastRuns(unknown="PREFECT_API_URL is answered by something that is not Prefect's API.")
    except (HTTPError, InvalidURL) as error:
        return LastRuns(unknown=said(error))
    return LastRuns(tuple(run for whose, run in found if whose == assistant)[:most])


class _Flow(BaseModel):
    id: str
    name: str


class _Run(BaseModel):
    name: str
    flow_id: str
    state_name: str | None = None
    start_time: datetime | None = None
    expected_start_time: datetime | None = None
    parameters: dict[str, Any] = {}

    @property
    def assistant(self) -> str:
        request = self.parameters.get("request")
        return str(request.get("assistant", "default")) if isinstance(request, dict) else "default"

    @property
    def at(self) -> datetime:
        return self.start_time or self.expected_start_time or datetime.fromtimestamp(0, UTC)


async def _found(prefect: PrefectRuns) -> list[tuple[str, LastRun]]:
    """Assistant and run, newest first."""
    ours = {"flows": {"name": {"any_": FLOWS}}}
    due = {"expected_start_time": {"before_": datetime.now(UTC).isoformat()}}  # schedules plan days ahead
    newest = {"flow_runs": due, "sort": "START_TIME_DESC", "limit": LOOKED_AT}
    async with replace(prefect, timeout_seconds=PATIENCE_SECONDS).client() as client:
        flows, runs = await asyncio.gather(
            _all(client, "flows/filter", ours, TypeAdapter(list[_Flow])),
            _all(client, "flow_runs/filter", ours | newest, TypeAdapter(list[_Run])),
        )
    names = {flow.id: flow.name for flow in flows}
    return [
        (run.assistant, LastRun(run.name, names[run.flow_id], run.state_name or "Unknown", run.at.isoformat()))
        for run in runs
        if run.flow_id in names  # a flow whose first run was made between the two answers
    ]


async def _all(client: AsyncClient, path: str, body: object, shape: TypeAdapter[list[Row]]) -> list[Row]:
    return shape.validate_json((await ask(client, "POST", path, body)).content)
