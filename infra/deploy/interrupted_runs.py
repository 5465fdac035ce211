"""Runs whose process is gone: begun again by the next worker, over Prefect's API, so that nothing stays `Running`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import httpx

from infra.deploy.catalogue import ONCE
from tasks.core.stuck_runs import next_state

STOPPED = ["RUNNING", "PENDING", "CANCELLING"]
PAGE = 200


def begin_again(
    api_url: str,
    pools: Sequence[str],
    *,
    crashed_since: datetime | None = None,
    environ: Mapping[str, str] = os.environ,
) -> list[str]:
    """Names of the runs of these pools that were interrupted and are put right. Call it while no worker of them lives.

    crashed_since: runs that crashed after this are begun again too: a process whose worker is gone may say so itself.
    Raises httpx.HTTPError where the API cannot be asked.
    """
    auth = environ.get("PREFECT_API_AUTH_STRING")
    user, _, password = (auth or "").partition(":")
    with httpx.Client(base_url=api_url, timeout=20, auth=(user, password) if auth else None) as client:
        names = list(_put_right(client, pools, {"state": {"type": {"any_": STOPPED}}}))
        if crashed_since is not None:
            late = {"state": {"type": {"any_": ["CRASHED"]}}, "end_time": {"after_": crashed_since.isoformat()}}
            names += _put_right(client, pools, late)
        return names


def _put_right(client: httpx.Client, pools: Sequence[str], which: Mapping[str, Any]) -> Iterator[str]:
    asked = {"flow_runs": which, "work_pools": {"name": {"any_": list(pools)}}, "limit": PAGE}
    while found := client.post("/flow_runs/filter", json=asked).raise_for_status().json():
        moved = [run["name"] for run in found if _move(client, run)]
        yield from moved
        if len(found) < PAGE or not moved:
            break


def _move(client: httpx.Client, run: Mapping[str, Any]) -> bool:
    """Whether the run's state changed: one that crashed and is not begun again stays as it is."""
    history = client.get("/flow_run_states/", params={"flow_run_id": run["id"]}).raise_for_status().json()
    starts = sum(state["type"] == "PENDING" for state in history)
    wanted = next_state(run["state"]["type"], starts, "Its process ended with its worker.", once=ONCE in run["tags"])
    if wanted.type == run["state"]["type"]:
        return False
    state = {"type": wanted.type, "name": wanted.name, "message": wanted.message}
    client.post(f"/flow_runs/{run['id']}/set_state", json={"state": state, "force": True}).raise_for_status()
    return True
