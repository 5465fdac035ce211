"""Deployments of prefect.yaml. Paused ones stay paused; job variables and further tags are people's."""

from __future__ import annotations

import importlib
from typing import Any
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.objects import ConcurrencyOptions
from prefect.client.schemas.responses import DeploymentResponse
from prefect.utilities.callables import parameter_schema
from pydantic import JsonValue

from flows.deploying.named import deployment_named
from infra.deploy.catalogue import MARK
from infra.deploy.deployment_file import Deployment, DeploymentFile
from infra.deploy.differences import Change, Found, Thing

_LIMIT, _OPTIONS = "concurrency_limit", "concurrency_options"


class Deployments:
    """Shelf of the deployments. Ours are those that carry the mark; one taken out of the file is removed."""

    def __init__(self, client: PrefectClient, file: DeploymentFile) -> None:
        self._client, self._file = client, file

    async def wanted(self) -> list[Thing]:
        return [Thing("deployment", one.full_name, _fields(one)) for one in self._file.deployments]

    async def found(self) -> list[Found]:
        marked = DeploymentFilter(tags=DeploymentFilterTags(all_=[MARK]))
        names = {one.full_name for one in self._file.deployments}
        for deployment in await self._client.read_deployments(deployment_filter=marked, limit=200):
            flow = await self._client.read_flow(deployment.flow_id)
            names.add(f"{flow.name}/{deployment.name}")
        there = [(name, await deployment_named(self._client, name)) for name in sorted(names)]
        return [
            Found(Thing("deployment", name, self._fields_found(name, one)), str(one.id), ours=MARK in one.tags)
            for name, one in there
            if one is not None
        ]

    async def make(self, change: Change) -> None:
        if change.action == "delete":
            await self._client.delete_deployment(UUID(change.id))
            return
        wanted = next(one for one in self._file.deployments if one.full_name == change.thing.name)
        if change.action == "create":
            await self._create(wanted)
        else:
            await self._update(UUID(change.id), {one.field for one in change.differences}, wanted)

    async def _create(self, wanted: Deployment) -> None:
        flow_id = await self._client.create_flow(flow_at(wanted.entrypoint))
        made = _sent(wanted)
        made["tags"] = sorted(made["tags"])
        await self._client.create_deployment(
            flow_id=flow_id, name=wanted.name, enforce_parameter_schema=True, schedules=[], **made
        )

    async def _update(self, deployment_id: UUID, fields: set[str], wanted: Deployment) -> None:
        sent = {name: value for name, value in _sent(wanted).items() if name in fields}
        if "tags" in sent:
            known = await self._client.read_deployment(deployment_id)
            sent["tags"] = sorted({*known.tags, *sent["tags"]})
        await self._client.update_deployment(deployment_id, DeploymentUpdate(**sent))

    def _fields_found(self, name: str, known: DeploymentResponse) -> dict[str, JsonValue]:
        wanted = next((one for one in self._file.deployments if one.full_name == name), None)
        ours = set(wanted.tags) | {MARK} if wanted else set(known.tags)
        limit, options = known.global_concurrency_limit, known.concurrency_options
        return {
            "description": known.description,
            "entrypoint": known.entrypoint,
            "parameters": known.parameters,
            "work_pool_name": known.work_pool_name,
            "tags": [*sorted(ours & set(known.tags))],
            "pull_steps": list(known.pull_steps or []),
            _LIMIT: limit.limit if limit else None,
            _OPTIONS: options.model_dump(mode="json") if options else None,
            "parameter_openapi_schema": known.parameter_openapi_schema,
        }


def flow_at(entrypoint: str) -> Flow[..., Any]:
    """The flow at a module entrypoint such as `flows.tend_runs.tend_runs`."""
    module, _, name = entrypoint.rpartition(".")
    flow = getattr(importlib.import_module(module), name)
    assert isinstance(flow, Flow)
    return flow


def _fields(wanted: Deployment) -> dict[str, JsonValue]:
    limit = wanted.concurrency_limit
    options = limit.model_dump(exclude={"limit"}) if limit else None
    return {
        "description": wanted.description,
        "entrypoint": wanted.entrypoint,
        "parameters": wanted.parameters,
        "work_pool_name": wanted.work_pool.name,
        "tags": [*sorted({*wanted.tags, MARK})],
        "pull_steps": [],
        _LIMIT: limit.limit if limit else None,
        _OPTIONS: options,
        "parameter_openapi_schema": parameter_schema(flow_at(wanted.entrypoint)).model_dump(mode="json"),
    }


def _sent(wanted: Deployment) -> dict[str, Any]:
    fields: dict[str, Any] = _fields(wanted)
    if fields[_OPTIONS]:
        fields[_OPTIONS] = ConcurrencyOptions.model_validate(fields[_OPTIONS])
    return fields
