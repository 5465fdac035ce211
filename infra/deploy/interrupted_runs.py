"""Runs whose process is gone: begun again by the next worker, over Prefect's API, so that nothing stays `Running`.

Every flow here may be run again: it goes on where it was. A run that was interrupted often is not begun again, or one
that takes the machine down would do so for ever.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

MOST_STARTS = 3
STOPPED = ["RUNNING", "PENDING", "CANCELLING"]
PAGE = 200


def begin_again(api_url: str, pools: Sequence[str], environ: Mapping[str, str] = os.environ) -> list[str]:
    """Names of the runs of these pools that were interrupted. Call it while no worker of the pools lives.

    Raises httpx.HTTPError where the API cannot be asked.
    """
    auth = environ.get("PREFECT_API_AUTH_STRING")
    user, _, password = (auth or "").partition(":")
    with httpx.Client(base_url=api_url, timeout=20, auth=(user, password) if auth else None) as client:
        asked = {
            "flow_runs": {"state": {"type": {"any_": STOPPED}}},
            "work_pools": {"name": {"any_": list(pools)}},
            "limit": PAGE,
        }
        names = []
        while found := client.post("/flow_runs/filter", json=asked).raise_for_status().json():
            for run in found:
                answer = client.post(f"/flow_runs/{run['id']}/set_state", json={"state": _next(run), "force": True})
                answer.raise_for_status()
                names.append(run["name"])
            if len(found) < PAGE:
                break
        return names


def _next(run: Mapping[str, Any]) -> dict[str, Any]:
    if run["state"]["type"] == "CANCELLING":
        return {"type": "CANCELLED", "message": "Cancelled; its process was gone already."}
    if (run.get("run_count") or 0) >= MOST_STARTS:
        return {"type": "CRASHED", "message": f"Its process ended {run['run_count']} times before it was done."}
    return {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Its process was stopped; it is begun again."}
