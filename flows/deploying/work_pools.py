"""Work pools: made when missing; description and limit are ours, pausing is people's.

So is the job template of a process pool. That of a Kubernetes pool names images and secrets and is ours: people set job
variables of a deployment instead.
"""

from __future__ import annotations

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectNotFound
from prefect.workers.process import ProcessWorker
from pydantic import JsonValue

from infra.deploy.catalogue import WORK_POOLS, PoolType, WorkPool
from infra.deploy.differences import Change, Found, Thing
from infra.deploy.job_template import job_template
from tasks.core.errors import BadSetting

_TEMPLATE = "base_job_template"


class WorkPools:
    """Shelf of the work pools. None is ever removed: workers may stand at it."""

    def __init__(self, client: PrefectClient, kind: PoolType = "process") -> None:
        self._client, self._kind = client, kind

    async def wanted(self) -> list[Thing]:
        return [Thing("work pool", pool.name, _fields(pool, self._kind)) for pool in WORK_POOLS]

    async def found(self) -> list[Found]:
        there = []
        for pool in WORK_POOLS:
            try:
                found = await self._client.read_work_pool(pool.name)
            except ObjectNotFound:
                continue
            if self._kind == "kubernetes" and found.type != self._kind:
                raise BadSetting(
                    f"Work pool {pool.name} is of type {found.type}, and a pool keeps its type. Once no run waits "
                    f"there: prefect work-pool delete {pool.name}, and ratchet deploy again. "
                    "Or unset RATCHET_WORK_POOLS."
                )
            fields: dict[str, JsonValue] = {
                "description": found.description,
                "concurrency_limit": found.concurrency_limit,
                _TEMPLATE: found.base_job_template,
            }
            there.append(Found(Thing("work pool", pool.name, fields), str(found.id), ours=False))
        return there

    async def make(self, change: Change) -> None:
        name, fields = change.thing.name, dict(change.thing.fields)
        if change.action == "create":
            template = ProcessWorker.get_default_base_job_template()
            made = {"name": name, "type": self._kind, _TEMPLATE: template, **fields}
            await self._client.create_work_pool(WorkPoolCreate.model_validate(made))
            return
        chosen = {one.field: one.after for one in change.differences}
        await self._client.update_work_pool(name, WorkPoolUpdate.model_validate(chosen))


def _fields(pool: WorkPool, kind: PoolType) -> dict[str, JsonValue]:
    """A pool without a limit of ours may have one of people's."""
    limit: dict[str, JsonValue] = {} if pool.limit is None else {"concurrency_limit": pool.limit}
    template: dict[str, JsonValue] = {_TEMPLATE: job_template(pool.job)} if kind == "kubernetes" else {}
    return {"description": pool.description} | limit | template
