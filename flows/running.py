"""How a step runs: as a Prefect task inside a flow run, as a plain call outside one. The only place that knows."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext

from tasks.core.errors import WorthRetrying
from tasks.documents import stopping

P = ParamSpec("P")
R = TypeVar("R")

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


def log(sentence: str) -> None:
    """Into the flow run's log. Outside a flow run the caller says it."""
    if FlowRunContext.get() is not None:
        get_run_logger().info(sentence)


def _worth_retrying(_task: Any, _run: Any, state: Any) -> bool:
    return isinstance(state.data, WorthRetrying)
