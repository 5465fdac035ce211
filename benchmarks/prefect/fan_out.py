"""How long a re-ingest takes with 1, 2 and 4 workers of each engine, beside the run that nobody helps.

    .venv/bin/python benchmarks/prefect/fan_out.py [--documents 600] [--engines none,threads,dask,ray] [--workers 1,2,4]

Every run is a flow run on one Prefect server that is started here, over the same generated HTML documents, into a home
of its own. What is timed is the flow, the start of its workers included. Exit status 1 when manifest hash or number of
embeds are not those of the undivided run, or when a portion was not done by the workers: the run would do it itself,
to the same end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import UUID

os.environ["PREFECT_API_URL"] = ""  # never somebody's real server
os.environ |= {"DO_NOT_TRACK": "1", "PREFECT_LOGGING_LEVEL": "ERROR", "RAY_USAGE_STATS_ENABLED": "0"}
os.environ |= {"DASK_LOGGING__DISTRIBUTED": "error"}

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.testing.utilities import prefect_test_harness

from flows.reingest_docs import ReingestRequest, reingest_docs


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--documents", type=int, default=600)
    asked.add_argument("--engines", default="none,threads,dask,ray")
    asked.add_argument("--workers", default="1,2,4")
    asked.add_argument("--json", type=Path)
    given = asked.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch, prefect_test_harness(server_startup_timeout=180):
        docs = write(Path(scratch) / "docs", given.documents)
        for engine in given.engines.split(","):
            for workers in [1] if engine == "none" else map(int, given.workers.split(",")):
                rows.append(asyncio.run(run(engine, workers, docs, Path(scratch))))
                first = rows[0]
                rows[-1]["same"] = all(rows[-1][key] == first[key] for key in ("manifest_hash", "embeds"))
                done, asked_for = rows[-1]["portions"]
                rows[-1]["helped"] = done == asked_for and (done > 0) == (engine != "none")
                print(
                    f"{engine:<8} {workers} workers  {rows[-1]['seconds']:6.1f} s  "
                    f"{first['seconds'] / rows[-1]['seconds']:.2f} x the first  same snapshot: {rows[-1]['same']}  "
                    f"portions done by workers: {done} of {asked_for}",
                    flush=True,
                )
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")
    sys.exit(not all(row["same"] and row["helped"] for row in rows))


async def run(engine: str, workers: int, docs: Path, scratch: Path) -> dict[str, Any]:
    home = scratch / f"{engine}-{workers}"
    os.environ |= {
        "RATCHET_HOME": str(home),
        "RATCHET_FAN_OUT": engine,
        "RATCHET_FAN_OUT_WORKERS": str(workers),
        "RATCHET_FAN_OUT_DOCUMENTS": "50",
        "RATCHET_PARSE_PROCESSES": "1",  # of each worker
        "RATCHET_TORCH_THREADS": "1",
    }
    begun = time.perf_counter()
    state = await reingest_docs(ReingestRequest(path=str(docs)), return_state=True)
    took = time.perf_counter() - begun
    report = await state.aresult()
    return {
        "engine": engine,
        "workers": workers,
        "seconds": round(took, 2),
        "manifest_hash": report.manifest_hash,
        "embeds": report.embeds,
        "portions": await portions_of(state.state_details.flow_run_id),
    }


async def portions_of(flow_run: UUID | None) -> tuple[int, int]:
    """How many were completed by workers, of how many. The server hears of them a little after the run has ended."""
    assert flow_run is not None
    until = time.monotonic() + 60
    async with get_client() as client:
        while True:
            tasks = await client.read_task_runs(
                flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run])), limit=200
            )
            states = [task.state for task in tasks if task.name.startswith(("parse ", "embed ")) and task.state]
            if time.monotonic() > until or all(task.state and task.state.is_final() for task in tasks):
                return sum(state.is_completed() for state in states), len(states)
            await asyncio.sleep(0.5)


def write(folder: Path, count: int) -> Path:
    folder.mkdir()
    for n in range(count):
        parts = [[f"Pump {n} takes oil {part * 7 + k} at {k + n} bar." for k in range(12)] for part in range(3)]
        sections = "".join(f"<h2>Part {n}-{at}</h2><p>{' '.join(part)}</p>" for at, part in enumerate(parts))
        (folder / f"pump-{n:05}.html").write_text(f"<h1>Pump {n}</h1>{sections}")
    return folder


if __name__ == "__main__":
    main()
