"""Work pools: made when missing; description and limit are ours, pausing and the job template are people's."""

from __future__ import annotations

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectNotFound
from prefect.workers.process import ProcessWorker
from pydantic import JsonValue

from infra.deploy.catalogue import WORK_POOLS, WorkPool
from infra.deploy.differences import Change, Found, Thing


class WorkPools:
    """Shelf of the work pools. None is ever removed: workers may stand at it."""

    def __init__(self, client: PrefectClient) -> None:
        self._client = client

    async def wanted(self) -> list[Thing]:
        return [Thing("work pool", pool.name, _fields(pool)) for pool in WORK_POOLS]

    async def found(self) -> list[Found]:
        there = []
        for pool in WORK_POOLS:
            try:
                found = await self._client.read_work_pool(pool.name)
            except ObjectNotFound:
                continue
            fields: dict[str, JsonValue] = {
                "description": found.description,
                "concurrency_limit": found.concurrency_limit,
            }
            there.append(Found(Thing("work pool", pool.name, fields), str(found.id), ours=False))
        return there

    async def make(self, change: Change) -> None:
        name, fields = change.thing.name, dict(change.thing.fields)
        if change.action == "create":
            template = ProcessWorker.get_default_base_job_template()
            made = {"name": name, "type": "process", "base_job_template": template, **fields}
            await self._client.create_work_pool(WorkPoolCreate.model_validate(made))
            return
        chosen = {one.field: one.after for one in change.differences}
        await self._client.update_work_pool(name, WorkPoolUpdate.model_validate(chosen))


def _fields(pool: WorkPool) -> dict[str, JsonValue]:
    """A pool without a limit of ours may have one of people's."""
    limit: dict[str, JsonValue] = {} if pool.limit is None else {"concurrency_limit": pool.limit}
    return {"description": pool.description} | limit
