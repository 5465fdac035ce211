"""Automations, changed in place: made anew, events in between would be lost. Disabled ones stay disabled."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import BlockDocument, StateType
from prefect.events.actions import ChangeFlowRunState, RunDeployment, SendNotification
from prefect.events.schemas.automations import Automation as Known
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from pydantic import JsonValue

from flows.deploying.named import deployment_named
from infra.deploy.catalogue import AUTOMATIONS, MARK, NOTICES, NOTIFY, Automation, Crash, Notify, RunFlow
from infra.deploy.differences import Change, Found, Thing

_KEY = "ratchet-key:"  # tag that says which of ours it is, whatever people call it
_NOT_YET = UUID(int=0)


class Automations:
    """Shelf of the automations. Those that tell people are there once a notification block is."""

    def __init__(self, client: PrefectClient) -> None:
        self._client = client

    async def wanted(self) -> list[Thing]:
        told = await notification_block(self._client)
        chosen = AUTOMATIONS + (NOTICES if told else ())
        return [Thing("automation", one.key, _fields(await self._core(one))) for one in chosen]

    async def found(self) -> list[Found]:
        return [
            Found(Thing("automation", _key(one), _fields(one)), str(one.id), ours=True)
            for one in await self._client.read_automations()
            if MARK in one.tags and _key(one)
        ]

    async def make(self, change: Change) -> None:
        if change.action == "delete":
            await self._client.delete_automation(UUID(change.id))
            return
        core = await self._core(next(one for one in AUTOMATIONS + NOTICES if one.key == change.thing.name))
        if change.action == "create":
            await self._client.create_automation(core)
            return
        known = await self._client.read_automation(UUID(change.id))
        if known is not None:
            core.enabled, core.tags = known.enabled, sorted({*known.tags, *core.tags})
            await self._client.update_automation(known.id, core)

    async def _core(self, one: Automation) -> AutomationCore:
        trigger = EventTrigger(
            match=one.match,
            match_related=one.match_related or {},
            after=set(one.after),
            expect=set(one.expect),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive if one.posture == "Proactive" else Posture.Reactive,
            threshold=1,
            within=one.within,
        )
        return AutomationCore(
            name=one.name,
            description=one.description,
            tags=[MARK, f"{_KEY}{one.key}"],
            trigger=trigger,
            actions=[await self._action(one)],
        )

    async def _action(self, one: Automation) -> RunDeployment | ChangeFlowRunState | SendNotification:
        match one.action:
            case RunFlow(deployment, parameters, after):
                known = await deployment_named(self._client, deployment)
                where = known.id if known else _NOT_YET
                return RunDeployment(
                    source="selected",
                    deployment_id=where,
                    parameters=parameters,
                    job_variables=None,
                    schedule_after=after,
                )
            case Crash(message):
                # Not by force: Prefect may hear late, or never, that a run completed, and that has to stay so.
                return ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message=message, force=False)
            case Notify(subject, body):
                block = await notification_block(self._client)
                where = block.id if block else _NOT_YET
                return SendNotification(block_document_id=where, subject=subject, body=body)


async def notification_block(client: PrefectClient) -> BlockDocument | None:
    """The block that people saved to be told by, whatever its type; None where there is none."""
    for block in await client.read_block_documents(limit=200, include_secrets=False):
        can = block.block_schema.capabilities if block.block_schema else []
        if block.name == NOTIFY and "notify" in can:
            return block
    return None


def _key(known: Known) -> str:
    return next((tag.removeprefix(_KEY) for tag in known.tags if tag.startswith(_KEY)), "")


def _fields(core: AutomationCore) -> dict[str, JsonValue]:
    """What is ours to say: whether it is enabled is not."""
    said = core.model_dump(mode="json", include={"name", "description", "trigger", "actions"})
    cleaned: dict[str, JsonValue] = _without_ids(said)
    return cleaned


def _without_ids(value: Any) -> Any:
    """The same without the ids that the server gives to triggers, and with sets in one order."""
    if isinstance(value, dict):
        return {name: _without_ids(inner) for name, inner in value.items() if name != "id"}
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return sorted(value)
    return [_without_ids(one) for one in value] if isinstance(value, list) else value
