"""Prefect's API over plain HTTP: starting the flow that acts on a notice. Importing Prefect takes a second."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from httpx import AsyncClient, HTTPError, HTTPStatusError, InvalidURL, Response

from tasks.outbox import FLOW_OF_TOPIC, Listener, Notice, telling_prefix

_log = logging.getLogger("ratchet.prefect")

# Everything asked here may be asked again: SQLite under Prefect is busy now and then, and says so with 503.
BUSY, BUSY_DELAYS_SECONDS = frozenset({408, 429, 500, 502, 503, 504}), (0.2, 0.8)
NOT_BEGUN = {"state": {"type": {"any_": ["SCHEDULED"]}}, "start_time": {"is_null_": True}}


@dataclass(frozen=True, slots=True)
class PrefectRuns:
    """Nudge and Find of tasks.outbox. What cannot be reached, or has no deployment, is nobody to tell."""

    api_url: str
    auth_string: str | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)
    timeout_seconds: float = 20.0

    async def find(self, assistant: str, topic: str) -> Listener | None:
        """Whether the flow of this topic can be started; `waiting` is the key of a run of it that has not begun.

        A run that has not begun when this is asked reads the sources after it, so whatever is known now is in it.
        """
        flow = FLOW_OF_TOPIC.get(topic)
        if flow is None:
            return Listener()
        try:
            async with self.client() as client:
                deployment = await _deployment(client, flow, assistant)
                if deployment is None:
                    return None
                return Listener(await _waiting(client, deployment, telling_prefix(assistant, topic)))
        except (HTTPError, InvalidURL) as error:
            _log.warning("Prefect cannot be asked about %s of %s: %s", flow, assistant, said(error))
            return None

    async def nudge(self, notice: Notice) -> bool:
        """Starts a run of the flow for the notice's topic; told again, the same run is found by the key.

        A topic without a flow is published as an event alone, which is then what must be heard.
        """
        flow = FLOW_OF_TOPIC.get(notice.topic)
        try:
            async with self.client() as client:
                if flow is None:
                    await _publish(client, notice)
                elif await _started(client, flow, notice):
                    await _publish_too(client, notice)
                else:
                    return False
        except (HTTPError, InvalidURL) as error:
            _log.warning("%s waits: %s", notice.key, said(error))
            return False
        return True

    def client(self) -> AsyncClient:
        """To be closed by whoever asks for it. Does not connect yet."""
        return AsyncClient(
            base_url=self.api_url.rstrip("/") + "/", headers=self._headers(), timeout=self.timeout_seconds
        )

    def _headers(self) -> dict[str, str]:
        if self.auth_string:
            return {"Authorization": f"Basic {base64.b64encode(self.auth_string.encode()).decode()}"}
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}


def prefect_of(environ: Mapping[str, str] = os.environ) -> PrefectRuns | None:
    """The API that the environment names; None where it names none."""
    url = environ.get("PREFECT_API_URL")
    if not url:
        return None
    return PrefectRuns(url, environ.get("PREFECT_API_AUTH_STRING"), environ.get("PREFECT_API_KEY"))


async def _started(client: AsyncClient, flow: str, notice: Notice) -> bool:
    deployment = await _deployment(client, flow, notice.assistant)
    if deployment is None:
        _log.warning("%s waits: there is no deployment %s/%s or /default.", notice.key, flow, notice.assistant)
        return False
    request = (deployment.get("parameters") or {}).get("request") or {}
    asked = {
        "parameters": {"request": {**request, "assistant": notice.assistant}},
        "idempotency_key": notice.key,
        "state": {"type": "SCHEDULED"},
    }
    await ask(client, "POST", f"deployments/{deployment['id']}/create_flow_run", asked)
    return True


async def _deployment(client: AsyncClient, flow: str, assistant: str) -> dict[str, Any] | None:
    """The one named after the assistant, else the default one."""
    for name in dict.fromkeys((assistant, "default")):
        try:
            found: dict[str, Any] = (await ask(client, "GET", f"deployments/name/{flow}/{name}")).json()
            return found
        except HTTPStatusError as error:
            if error.response.status_code != 404:
                raise
    return None


async def _waiting(client: AsyncClient, deployment: Mapping[str, Any], prefix: str) -> str | None:
    runs = {**NOT_BEGUN, "deployment_id": {"any_": [deployment["id"]]}}
    asked = {"flow_runs": runs, "sort": "EXPECTED_START_TIME_ASC", "limit": 200}
    found = (await ask(client, "POST", "flow_runs/filter", asked)).json()
    keys = (str(run.get("idempotency_key") or "") for run in found)
    return next((key for key in keys if key.startswith(prefix)), None)


async def _publish(client: AsyncClient, notice: Notice) -> None:
    """An event for people's automations. Ids and numbers only. Published again, it is the same event by its id."""
    event = {
        "id": str(uuid5(NAMESPACE_URL, notice.key)),
        "occurred": datetime.now(UTC).isoformat(),
        "event": f"ratchet.{notice.topic}",
        "resource": {"prefect.resource.id": f"ratchet.assistant.{notice.assistant}"},
        "payload": dict(notice.payload),
    }
    await ask(client, "POST", "events", [event])


async def _publish_too(client: AsyncClient, notice: Notice) -> None:
    """The event beside a run that was started; nothing here waits for it."""
    try:
        await _publish(client, notice)
    except HTTPError as error:
        _log.info("The event for %s is not published: %s", notice.key, said(error))


async def ask(client: AsyncClient, method: str, path: str, asked: object = None) -> Response:
    """The answer, after a little patience where the server is busy. Raises HTTPError, also for an answer of failure."""
    for delay in BUSY_DELAYS_SECONDS:
        answer = await client.request(method, path, json=asked)
        if answer.status_code not in BUSY:
            return answer.raise_for_status()
        await asyncio.sleep(delay)
    return (await client.request(method, path, json=asked)).raise_for_status()


def said(error: Exception) -> str:
    """What happened, without the URL, which may hold a password."""
    if isinstance(error, HTTPStatusError):
        return f"Prefect answered {error.response.status_code}."
    return f"{type(error).__name__}: Prefect's API cannot be reached."
