"""Make a Prefect server hold what prefect.yaml and the catalogue say. Run twice, the second time changes nothing.

Everything is changed in place. Only what carries our mark is removed, and what people decide stays as they decided it:
paused schedules, disabled automations, edited blocks, their own tags, deployments, schedules and automations.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prefect.client.orchestration import PrefectClient

from flows.deploying.automations import Automations
from flows.deploying.block_seeds import BlockSeeds
from flows.deploying.block_types import BlockTypes
from flows.deploying.deployments import Deployments
from flows.deploying.schedules import Schedules, Switches, marked_schedules, read_switches
from flows.deploying.shelf import Shelf
from flows.deploying.work_pools import WorkPools
from infra.deploy.catalogue import PoolType
from infra.deploy.deployment_file import DeploymentFile, read_deployments
from infra.deploy.differences import Changes, plan


async def reconcile(
    client: PrefectClient,
    *,
    dry_run: bool = False,
    file: Path | None = None,
    pools: PoolType = "process",
    run_command: str | None = None,
) -> Changes:
    """Everything that was changed; with dry_run what would be, and nothing is.

    file: another prefect.yaml than the one in the working directory or in the package. pools: the type of work
    pools that are made. run_command: what a worker of a process pool starts for a run; None: as it is. Raises
    BadSetting when the file is wrong or a pool is of a type that cannot do, before anything is changed. A run that was
    cut off in the middle is completed by the next one.
    """
    done = Changes()
    for shelf in await _shelves(client, read_deployments(file), WorkPools(client, pools, run_command)):
        changes = plan(await shelf.wanted(), await shelf.found())
        if not dry_run:
            for change in changes.changes:
                await shelf.make(change)
        done += changes
    return done


async def _shelves(client: PrefectClient, file: DeploymentFile, pools: WorkPools) -> Sequence[Shelf]:
    """In the order in which one needs the other. Who switched what is read before anything is changed."""
    planned, marked = await read_switches(client, file), await marked_schedules(client)
    return (
        pools,
        BlockTypes(client),
        BlockSeeds(client),
        Deployments(client, file),
        Schedules(client, planned, marked),
        Switches(client, planned),
        Automations(client),
    )
