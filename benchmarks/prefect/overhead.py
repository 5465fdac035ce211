"""What a flow run costs over the same work called without Prefect: a re-ingest that finds nothing changed.

    .venv/bin/python benchmarks/prefect/overhead.py [--runs 30] [--sqlite]

A Prefect server of its own runs beside it on PostgreSQL and Redis, or with --sqlite on SQLite. In one process, in
turns: the function that the flow calls, and the flow. What differs is the flow run itself with its states, a task run
per step, its log lines, heartbeat and events. After each a second passes, in which the server takes up what it was
told. Exit status 1 when the median of the differences is over 0.3 s.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from production import Production, production, server_on_sqlite

GOAL_SECONDS = 0.3
PAUSE_SECONDS = 1.0
WARM_UP = 2  # the first runs import and connect


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--documents", type=int, default=50)
    parser.add_argument("--sqlite", action="store_true", help="Prefect and the catalog on SQLite, events in memory")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        with place(folder, not asked.sqlite) as one:
            docs = write(folder / "docs", asked.documents)
            one.ratchet("ingest", str(docs))
            os.environ.update(one.environment | {"PREFECT_LOGGING_LEVEL": "WARNING"})  # before Prefect is imported here
            os.chdir(folder)
            bare, flow = asyncio.run(measure(asked.runs))
    costs = [one - other for one, other in zip(flow, bare, strict=True)]
    cost = statistics.median(costs)
    print(f"a re-ingest of {asked.documents} documents that finds nothing changed, {asked.runs} of each in turns")
    print(f"Prefect on {'SQLite' if asked.sqlite else 'PostgreSQL and Redis'}, load {os.getloadavg()[0]:.1f}")
    for name, seconds in (("without Prefect", bare), ("as a flow run", flow), ("what the run costs", costs)):
        print(f"  {name:<19} p50 {statistics.median(seconds):.3f} s  min {min(seconds):.3f}  max {max(seconds):.3f}")
    print(f"  goal {GOAL_SECONDS} s: {'kept' if cost <= GOAL_SECONDS else 'missed'}")
    sys.exit(cost > GOAL_SECONDS)


@contextmanager
def place(folder: Path, as_in_production: bool) -> Iterator[Production]:
    if as_in_production:
        with production(folder, redis=True, seconds_a_batch=0.0) as one:
            yield one
    else:
        with server_on_sqlite(folder) as one:
            yield one


async def measure(runs: int) -> tuple[list[float], list[float]]:
    """Seconds of the bare calls, and of the flow runs."""
    from blocks.assistant import open_assistant
    from flows.reingest_docs import ReingestRequest, reingest, reingest_docs

    request = ReingestRequest()

    async def bare() -> Any:
        async with open_assistant(request.assistant, request.block) as bench:
            return await reingest(bench, request)

    async def flow() -> Any:
        return await reingest_docs(request)

    seconds: tuple[list[float], list[float]] = ([], [])
    for number in range(WARM_UP + runs):
        for kept, call in zip(seconds, (bare, flow), strict=True):
            took = await timed(call)
            await asyncio.sleep(PAUSE_SECONDS)
            if number >= WARM_UP:
                kept.append(took)
    return seconds


async def timed(call: Callable[[], Awaitable[Any]]) -> float:
    begun = time.perf_counter()
    report = await call()
    took = time.perf_counter() - begun
    if report.is_new or report.embeds:
        raise SystemExit("Something had changed: this measures something else.")
    return took


def write(folder: Path, documents: int) -> Path:
    folder.mkdir()
    for n in range(documents):
        (folder / f"page-{n:03}.md").write_text(f"# Page {n}\n\nPump {n} takes oil at {n} bar.\n")
    return folder


if __name__ == "__main__":
    main()
