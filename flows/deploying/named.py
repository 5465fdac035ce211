"""A deployment by its name, or None."""

from __future__ import annotations

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound


async def deployment_named(client: PrefectClient, full_name: str) -> DeploymentResponse | None:
    """The deployment `flow/name`; None where there is none."""
    try:
        return await client.read_deployment_by_name(full_name)
    except ObjectNotFound:
        return None
