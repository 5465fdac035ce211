"""Work pools: made when missing; description and limit are ours, pausing is people's.

So is the job template of a process pool, but for the command that starts a run, where one is set. That of a Kubernetes
pool names images and secrets and is ours: people set job variables of a deployment instead.
"""

from __future__ import annotations

from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectNotFound
from prefect.workers.process import ProcessWorker
from pydantic import JsonValue

from infra.deploy.catalogue import WORK_POOLS, PoolType, WorkPool
from infra.deploy.differences import Change, Found, Thing
from infra.deploy.job_template import job_template
from tasks.core.errors import BadSetting

_TEMPLATE, _COMMAND = "base_job_template", "run_command"


class WorkPools:
    """Shelf of the work pools. None is ever removed: workers may stand at it."""

    def __init__(self, client: PrefectClient, kind: PoolType = "process", run_command: str | None = None) -> None:
        self._client, self._kind, self._run_command = client, kind, run_command

    async def wanted(self) -> list[Thing]:
        return [Thing("work pool", pool.name, self._fields(pool)) for pool in WORK_POOLS]

    def _fields(self, pool: WorkPool) -> dict[str, JsonValue]:
        """A pool without a limit of ours may have one of people's."""
        fields: dict[str, JsonValue] = {"description": pool.description}
        if pool.limit is not None:
            fields["concurrency_limit"] = pool.limit
        if self._kind == "kubernetes":
            fields[_TEMPLATE] = job_template(pool.job)
        elif self._run_command is not None:
            fields[_COMMAND] = self._run_command
        return fields

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
                _COMMAND: _command_of(found.base_job_template),
            }
            there.append(Found(Thing("work pool", pool.name, fields), str(found.id), ours=False))
        return there

    async def make(self, change: Change) -> None:
        name = change.thing.name
        if change.action == "create":
            fields = _with_command(dict(change.thing.fields), ProcessWorker.get_default_base_job_template())
            made = {"name": name, "type": self._kind, **fields}
            await self._client.create_work_pool(WorkPoolCreate.model_validate(made))
            return
        chosen: dict[str, JsonValue] = {one.field: one.after for one in change.differences}
        if _COMMAND in chosen:
            chosen = _with_command(chosen, (await self._client.read_work_pool(name)).base_job_template)
        await self._client.update_work_pool(name, WorkPoolUpdate.model_validate(chosen))


def _with_command(fields: dict[str, JsonValue], template: dict[str, Any]) -> dict[str, JsonValue]:
    """The fields with a job template: theirs, else this one, which starts runs by their command where they name one."""
    command = fields.pop(_COMMAND, None)
    if command is not None:
        template["variables"]["properties"]["command"]["default"] = command
    return {_TEMPLATE: template} | fields


def _command_of(template: dict[str, Any]) -> str | None:
    command: str | None = template.get("variables", {}).get("properties", {}).get("command", {}).get("default")
    return command
