"""How a step runs: as a Prefect task inside a flow run, as a plain call outside one. The only place that knows."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast
from uuid import UUID

import httpx
from prefect import get_run_logger, task
from prefect.artifacts import (
    acreate_link_artifact,
    acreate_markdown_artifact,
    acreate_table_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext

from infra.workbench import Workbench
from tasks.core.errors import WorthRetrying
from tasks.core.evidence import PAGE, REPORT
from tasks.core.ports import Progress
from tasks.documents import stopping
from tasks.evaluation import Evaluation
from tasks.reports import gate_table

P = ParamSpec("P")
R = TypeVar("R")

DRAWN_EVERY_SECONDS = 5.0
RETRY_DELAYS_SECONDS: list[float] = [1.0, 5.0]


async def perform(step: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """The step's result. Inside a flow run it is a task run named after the step, retried when that can help.

    The step runs in a thread, so the run's heartbeat and other steps go on. Arguments stay out of Prefect's sight:
    they are live clients and whole snapshots, which it would hash and walk.
    """

    async def call() -> R:
        stop = threading.Event()
        token = stopping.set(stop)
        try:
            return await asyncio.to_thread(step, *args, **kwargs)
        except asyncio.CancelledError:
            stop.set()  # the step ends at its next batch
            raise
        finally:
            stopping.reset(token)

    if FlowRunContext.get() is None:
        return await call()
    name = step.__name__.replace("_", "-")
    as_task = task(
        name=name,
        task_run_name=name,
        description=(step.__doc__ or "").partition("\n")[0],
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=len(RETRY_DELAYS_SECONDS),
        retry_delay_seconds=RETRY_DELAYS_SECONDS,
        retry_condition_fn=_worth_retrying,
    )(call)
    return await as_task()


async def publish_report(key: str, markdown: str) -> None:
    """Shows a Markdown report beside the flow run in the Prefect UI. Outside a flow run there is nowhere to show it."""
    if FlowRunContext.get() is not None:
        await acreate_markdown_artifact(markdown=markdown, key=key)


async def publish_evaluation(bench: Workbench, evaluation: Evaluation) -> None:
    """Shows a verdict beside the flow run: the report, its gates as a table, and a link to the page with the plots."""
    if FlowRunContext.get() is None:
        return
    folder = bench.artifacts.path(evaluation.id)
    key, head = f"{bench.assistant}-evaluation", f"{evaluation.verdict}: {evaluation.release}"
    await acreate_markdown_artifact(
        markdown=(folder / REPORT).read_text(encoding="utf-8"), key=key, description=f"{head}. Why, in words"
    )
    await acreate_table_artifact(table=gate_table(evaluation), key=f"{key}-gates", description=f"{head}. Every gate")
    page = folder / PAGE
    if page.is_file():
        await acreate_link_artifact(
            link=page.as_uri(),
            link_text=str(page),
            key=f"{key}-page",
            description=f"{head}. The whole report with plots: a file on the machine of this run, so copy the link",
        )


def log(sentence: str) -> None:
    """Into the flow run's log. Outside a flow run the caller says it."""
    if FlowRunContext.get() is not None:
        get_run_logger().info(sentence)


def drawn_progress() -> Progress | None:
    """Progress as an artifact of the flow run, redrawn every few seconds. None outside a flow run."""
    if FlowRunContext.get() is None:
        return None
    drawn: UUID | None = None
    last = 0.0

    def tell(what: str, done: int, total: int) -> None:
        nonlocal drawn, last
        now, percent = time.monotonic(), 100.0 * done / max(1, total)
        if drawn is not None and done < total and now - last < DRAWN_EVERY_SECONDS:
            return
        last = now
        try:
            drawn = _draw(drawn, percent, what)
        except (httpx.HTTPError, RuntimeError) as error:  # a server that is away does not end a training
            get_run_logger().warning(f"The progress could not be drawn: {error}")

    return tell


def _draw(drawn: UUID | None, percent: float, what: str) -> UUID:
    if drawn is None:
        made = create_progress_artifact(percent, "training-progress", what, _sync=True)  # type: ignore[call-arg]
    else:
        made = update_progress_artifact(drawn, percent, what, _sync=True)  # type: ignore[call-arg]
    return cast(UUID, made)


def all_of(*tellers: Progress | None) -> Progress | None:
    """Tells each of them; None when there is nobody to tell."""
    known = [one for one in tellers if one is not None]

    def tell(what: str, done: int, total: int) -> None:
        for one in known:
            one(what, done, total)

    return tell if known else None


def logged_progress() -> Progress | None:
    """Progress into the flow run's log, each thing that is said once. None outside a flow run."""
    if FlowRunContext.get() is None:
        return None
    said = ""

    def tell(what: str, _done: int, _total: int) -> None:
        nonlocal said
        if what != said:
            get_run_logger().info(what)
        said = what

    return tell


def _worth_retrying(_task: Any, _run: Any, state: Any) -> bool:
    return isinstance(state.data, WorthRetrying)
