"""Schedules, and the Prefect Variables that switch them. A schedule that a person paused stays paused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate, VariableCreate, VariableUpdate
from prefect.client.schemas.objects import DeploymentSchedule, Variable
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from pydantic import JsonValue, TypeAdapter, ValidationError

from flows.deploying.named import deployment_named
from infra.deploy.catalogue import MARK
from infra.deploy.deployment_file import Deployment, DeploymentFile, Schedule
from infra.deploy.differences import Change, Found, Thing, settled
from tasks.core.errors import BadSetting

_APPLIED = "applied:"  # tag of a variable: what held after the last run
_FOR = "for:"  # tag of a variable: the schedule it switches


@dataclass(frozen=True, slots=True)
class Planned:
    """A schedule of the file, with what is known of it on the server."""

    deployment: Deployment
    schedule: Schedule
    active: bool

    @property
    def name(self) -> str:
        """`refresh-assistant/default#hourly`."""
        return f"{self.deployment.full_name}#{self.schedule.slug}"


async def read_switches(client: PrefectClient, file: DeploymentFile) -> list[Planned]:
    """Every schedule of the file and whether it shall be active, as the server is before anything is changed.

    Raises BadSetting when a variable holds neither true nor false.
    """
    planned = []
    for deployment in file.deployments:
        there = await deployment_named(client, deployment.full_name)
        for schedule in deployment.schedules:
            variable = await client.read_variable_by_name(schedule.variable) if schedule.variable else None
            known = _by_slug(there).get(schedule.slug)
            active = settled(_applied(variable), _switch(variable), known.active if known else None)
            planned.append(Planned(deployment, schedule, active))
    return planned


class Switches:
    """Shelf of the variables `active` is taken from. They follow what people do on a schedule's page."""

    def __init__(self, client: PrefectClient, planned: Sequence[Planned]) -> None:
        self._client, self._planned = client, planned

    async def wanted(self) -> list[Thing]:
        return [
            Thing("variable", one.schedule.variable, {"value": one.active, "for": one.name, "applied": one.active})
            for one in self._planned
            if one.schedule.variable
        ]

    async def found(self) -> list[Found]:
        names = {one.schedule.variable for one in self._planned}
        there = [one for one in await self._client.read_variables(limit=200) if MARK in one.tags or one.name in names]
        return [
            Found(
                Thing("variable", one.name, {"value": one.value, "for": _tagged(one, _FOR), "applied": _applied(one)}),
                str(one.id),
                ours=MARK in one.tags,
            )
            for one in there
        ]

    async def make(self, change: Change) -> None:
        name, fields = change.thing.name, change.thing.fields
        if change.action == "delete":
            await self._client.delete_variable_by_name(name)
            return
        tags = [MARK, f"{_FOR}{fields['for']}", f"{_APPLIED}{str(fields['applied']).lower()}"]
        if change.action == "create":
            await self._client.create_variable(VariableCreate(name=name, value=fields["value"], tags=tags))
        else:
            await self._client.update_variable(VariableUpdate(name=name, value=fields["value"], tags=tags))


class Schedules:
    """Shelf of the schedules. One that a person added is left alone; ours are known by their variable."""

    def __init__(self, client: PrefectClient, planned: Sequence[Planned], marked: set[str]) -> None:
        """marked: names of schedules that have a variable of ours, read before it is removed."""
        self._client, self._planned, self._marked = client, planned, marked

    async def wanted(self) -> list[Thing]:
        return [Thing("schedule", one.name, _fields(one.schedule, one.active)) for one in self._planned]

    async def found(self) -> list[Found]:
        names = {one.name for one in self._planned}
        there = []
        for full_name in sorted({name.partition("#")[0] for name in names | self._marked}):
            deployment = await deployment_named(self._client, full_name)
            for slug, known in _by_slug(deployment).items():
                name = f"{full_name}#{slug}"
                if name in names | self._marked:
                    thing = Thing("schedule", name, _fields_found(known))
                    there.append(Found(thing, str(known.id), ours=name in self._marked))
        return there

    async def make(self, change: Change) -> None:
        full_name, _, slug = change.thing.name.partition("#")
        deployment = await deployment_named(self._client, full_name)
        if deployment is None:
            raise BadSetting(f"There is no deployment {full_name} to schedule. Run ratchet deploy again.")
        if change.action == "delete":
            await self._client.delete_deployment_schedule(deployment.id, UUID(change.id))
            return
        fields = change.thing.fields
        parameters = TypeAdapter(dict[str, JsonValue]).validate_python(fields["parameters"])
        when, active = _when(fields), bool(fields["active"])
        if change.action == "create":
            made = DeploymentScheduleCreate(schedule=when, active=active, parameters=parameters, slug=slug)
            await self._client.create_deployment_schedules(deployment.id, [made])
        else:
            await self._client.update_deployment_schedule(
                deployment.id, UUID(change.id), active=active, schedule=when, parameters=parameters
            )


async def marked_schedules(client: PrefectClient) -> set[str]:
    """Names of the schedules that a variable of ours belongs to."""
    return {_tagged(one, _FOR) for one in await client.read_variables(limit=200) if MARK in one.tags}


def _by_slug(deployment: DeploymentResponse | None) -> dict[str, DeploymentSchedule]:
    return {one.slug: one for one in deployment.schedules if one.slug} if deployment else {}


def _tagged(variable: Variable, prefix: str) -> str:
    return next((tag.removeprefix(prefix) for tag in variable.tags if tag.startswith(prefix)), "")


def _applied(variable: Variable | None) -> bool | None:
    said = _tagged(variable, _APPLIED) if variable else ""
    return {"true": True, "false": False}.get(said)


def _switch(variable: Variable | None) -> bool | None:
    if variable is None:
        return None
    try:
        return TypeAdapter(bool).validate_python(variable.value)
    except ValidationError as error:
        raise BadSetting(
            f"Prefect Variable {variable.name} switches a schedule and holds {variable.value!r}. "
            "Set it to true or false."
        ) from error


def _fields(schedule: Schedule, active: bool) -> dict[str, JsonValue]:
    anchor = schedule.anchor_date.isoformat() if schedule.anchor_date else None
    return {
        "cron": schedule.cron,
        "interval": schedule.interval,
        "anchor_date": anchor,
        "timezone": schedule.timezone,
        "parameters": schedule.parameters,
        "active": active,
    }


def _fields_found(known: DeploymentSchedule) -> dict[str, JsonValue]:
    when = known.schedule
    every = when if isinstance(when, IntervalSchedule) else None
    return {
        "cron": when.cron if isinstance(when, CronSchedule) else None,
        "interval": every.interval.total_seconds() if every else None,
        "anchor_date": every.anchor_date.isoformat() if every else None,
        "timezone": getattr(when, "timezone", None),
        "parameters": known.parameters,
        "active": known.active,
    }


def _when(fields: Mapping[str, JsonValue]) -> CronSchedule | IntervalSchedule:
    if fields["cron"] is not None:
        return CronSchedule.model_validate({"cron": fields["cron"], "timezone": fields["timezone"]})
    chosen = {name: fields[name] for name in ("interval", "anchor_date", "timezone")}
    return IntervalSchedule.model_validate(chosen)
