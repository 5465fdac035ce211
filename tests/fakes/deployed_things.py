"""What a test deployed to the Prefect server that all tests share, taken away again."""

from __future__ import annotations

from prefect import get_client

from infra.deploy.catalogue import MARK


async def clear_deployed() -> None:
    """Removes every automation and variable, and the deployments of ours: the next test meets none of them."""
    async with get_client() as client:
        for one in await client.read_automations():
            await client.delete_automation(one.id)
        for deployment in await client.read_deployments():
            if MARK in deployment.tags:
                await client.delete_deployment(deployment.id)
        for variable in await client.read_variables():
            await client.delete_variable_by_name(variable.name)
