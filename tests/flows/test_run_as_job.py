"""From a scheduled run to a Kubernetes job to a completed run: Prefect's own server and worker, a fake cluster."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes_asyncio.config import kube_config
from kubernetes_fake import Cluster, cluster, run_container
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect_kubernetes.worker import KubernetesWorker

from flows.deploying.reconcile import reconcile
from infra.deploy.catalogue import MARK, WORK_POOLS

pytestmark = [pytest.mark.usefixtures("prefect_server"), pytest.mark.xdist_group("prefect")]

FILE = Path(__file__).parents[2] / "prefect.yaml"


@pytest.fixture
def kubernetes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setenv("PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_ENABLED", "false")
    with cluster() as one:
        config = one.kubeconfig(tmp_path / "kubeconfig")
        monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(config))
        yield one


async def _clear(client: PrefectClient) -> None:
    for automation in await client.read_automations():
        await client.delete_automation(automation.id)
    for deployment in await client.read_deployments():
        if MARK in deployment.tags:
            await client.delete_deployment(deployment.id)
    for variable in await client.read_variables():
        await client.delete_variable_by_name(variable.name)
    for pool in await client.read_work_pools():
        if pool.name in {one.name for one in WORK_POOLS}:
            await client.delete_work_pool(pool.name)


@pytest.fixture
def deployed(prefect_server: None) -> Iterator[None]:
    async def deploy(again: bool) -> None:
        async with get_client() as client:
            await _clear(client)
            if again:
                await reconcile(client, file=FILE, pools="kubernetes")

    asyncio.run(deploy(True))
    yield
    asyncio.run(deploy(False))


async def submitted(pool: str, deployment: str, kubernetes: Cluster) -> tuple[Any, dict[str, Any]]:
    """A run of the deployment, and the job that a worker of the pool made of it."""
    async with get_client() as client:
        known = await client.read_deployment_by_name(deployment)
        run = await client.create_flow_run_from_deployment(known.id)
        async with KubernetesWorker(work_pool_name=pool) as worker:
            await worker.get_and_submit_flow_runs()
    assert not kubernetes.violations
    [job] = kubernetes.jobs
    return run, job


async def test_a_run_becomes_a_job_and_the_job_completes_it(
    deployed: None, kubernetes: Cluster, tmp_path: Path
) -> None:
    run, job = await submitted("ratchet", "tend-runs/default", kubernetes)
    assert job["metadata"]["labels"]["prefect.io/flow-run-id"] == str(run.id)
    done = await asyncio.to_thread(run_container, job, {"RATCHET_HOME": str(tmp_path)})
    async with get_client() as client:
        after = await client.read_flow_run(run.id)
    assert (done.returncode, after.state.name if after.state else None) == (0, "Completed"), done.stderr


async def test_a_training_run_asks_for_a_gpu(deployed: None, kubernetes: Cluster) -> None:
    _, job = await submitted("ratchet-training", "retrain-model/default", kubernetes)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "ratchet-training:0.1.0"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
