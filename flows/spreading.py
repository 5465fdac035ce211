"""Portions of a large re-ingest on Prefect's task runners: threads here, or the workers of Dask or Ray."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import cache
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from blocks.assistant import workbench_of
from flows.requests import AssistantRequest
from flows.running import log
from infra.settings import Settings
from infra.showing import shown_progress
from infra.workbench import Workbench
from tasks.core.document_catalog import Lease
from tasks.core.errors import BadSetting
from tasks.documents import LeaseRenewal, stopping
from tasks.portions import Portion, names, take

TEXTS_A_DOCUMENT = 8  # so that a portion of texts is about as much work as one of files
LOOK_SECONDS = 1.0

_here: ContextVar[Workbench | None] = ContextVar("workbench", default=None)
"""The run's own workbench, which its threads share. Another process finds none and opens its own."""


async def spread(bench: Workbench, request: AssistantRequest, portions: Sequence[Portion], lease: Lease) -> None:
    """Has the portions done before the run needs what they hold; what went wrong with one is logged, and left to it.

    Outside a flow run, and with `fan_out` none, nothing happens here.
    """
    if not portions or bench.settings.fan_out == "none" or FlowRunContext.get() is None:
        return
    stop = threading.Event()
    tokens = stopping.set(stop), _here.set(bench)
    try:
        failed = await asyncio.to_thread(_spread, bench, request, portions, lease)
    except asyncio.CancelledError:
        stop.set()
        raise
    finally:
        stopping.reset(tokens[0])
        _here.reset(tokens[1])
    if failed:
        log(f"{len(failed)} of {len(portions)} portions failed; this run does them itself. First: {failed[0]}")


def _spread(bench: Workbench, request: AssistantRequest, portions: Sequence[Portion], lease: Lease) -> list[str]:
    renew, progress = LeaseRenewal(bench.documents, lease), shown_progress()
    with open_runner(bench.settings) as runner:
        waiting: list[PrefectFuture[int]] = [
            runner.submit(
                take_portion.with_options(task_run_name=name),
                parameters={"assistant": bench.assistant, "block": request.block, "carried": Carried(portion)},
            )
            for name, portion in zip(names(portions), portions, strict=True)
        ]
        failed = []
        for done, future in enumerate(waiting, start=1):
            if (why := _failure(future, renew)) is not None:
                failed.append(why)
            if progress:
                progress("portions", done, len(waiting))
    return failed


def _failure(future: PrefectFuture[int], renew: LeaseRenewal) -> str | None:
    """Why a portion was not done; None once it was. Ends with what `renew` raises when the run is to stop."""
    while True:
        renew()
        try:
            future.result(timeout=LOOK_SECONDS)
        except TimeoutError:
            state = future.state  # its own, should the portion itself have raised a TimeoutError
            if state.is_final():
                return None if state.is_completed() else str(state.message)
        except Exception as error:  # noqa: BLE001  # a worker may fail in any way: it costs time alone
            return f"{type(error).__name__}: {error}"
        else:
            return None


class Carried:
    """A portion on its way to a worker. Prefect walks through the arguments it knows the shape of; not through this."""

    def __init__(self, portion: Portion) -> None:
        self.portion = portion


@task(name="portion", cache_policy=NO_CACHE, persist_result=False, retries=1)
def take_portion(assistant: str, block: str | None, carried: Carried) -> int:
    """Parses files or embeds texts into the catalog's caches."""
    # Pickled by value, as every decorated function is: what it needs it must import itself.
    from flows.spreading import workbench_here

    return take(workbench_here(assistant, block).documents, carried.portion)


def workbench_here(assistant: str, block: str | None) -> Workbench:
    """The run's own workbench in its threads; in another process one that is kept for the next portions."""
    return _here.get() or _own(assistant, block)


@cache
def _own(assistant: str, block: str | None) -> Workbench:
    return asyncio.run(workbench_of(assistant, block))


def open_runner(settings: Settings) -> TaskRunner[Any]:
    """The task runner that the settings name, to be entered. Raises BadSetting where it is not installed."""
    engines: dict[str, Callable[[str | None, int], TaskRunner[Any]]]
    engines = {"threads": _threads, "dask": _dask, "ray": _ray}
    try:
        return engines[settings.fan_out](settings.fan_out_address, settings.fan_out_workers or os.cpu_count() or 1)
    except ImportError as error:
        raise BadSetting(
            f"RATCHET_FAN_OUT is {settings.fan_out}, which is not installed ({error}). Install it: "
            f"pip install 'ratchet[{settings.fan_out}]', here and where the workers run."
        ) from error


def _threads(_address: str | None, workers: int) -> TaskRunner[Any]:
    return ThreadPoolTaskRunner(max_workers=workers)


def _dask(address: str | None, workers: int) -> Any:
    from prefect_dask import DaskTaskRunner

    if address:
        return DaskTaskRunner(address=address)
    return DaskTaskRunner(cluster_kwargs={"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None})


def _ray(address: str | None, workers: int) -> Any:
    from prefect_ray import RayTaskRunner

    if address:
        return RayTaskRunner(address=address)
    return RayTaskRunner(init_kwargs={"num_cpus": workers, "include_dashboard": False})
