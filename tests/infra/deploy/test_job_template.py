"""What Prefect's Kubernetes worker makes of the pools' templates: jobs that keep to the schema of Kubernetes."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import kubernetes_validate
import pytest
from kubernetes_fake import MISPLACED
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration

from infra.deploy.catalogue import WORK_POOLS
from infra.deploy.job_template import FILE, job_template

POOLS = {pool.name: pool for pool in WORK_POOLS}


async def job(pool: str, **job_variables: Any) -> dict[str, Any]:
    """The job that a run of this pool becomes."""
    nobody = PrefectClient("http://127.0.0.1:9/api")  # the template refers to nothing that a server would know
    configuration = await KubernetesWorkerJobConfiguration.from_template_and_values(
        job_template(POOLS[pool].job), job_variables, client=nobody
    )
    configuration.prepare_for_flow_run(FlowRun(id=uuid4(), name="keen-owl", flow_id=uuid4()))
    manifest = configuration.job_manifest
    for misplaced in MISPLACED:
        assert manifest["spec"]["template"]["spec"].pop(misplaced) == 1
    kubernetes_validate.validate(manifest, "1.33", strict=True)
    return manifest


def spec(manifest: dict[str, Any]) -> dict[str, Any]:
    return dict(manifest["spec"]["template"]["spec"])


async def test_light_work_gets_no_gpu_and_goes_to_any_node() -> None:
    pod = spec(await job("ratchet"))
    (container,) = pod["containers"]
    assert container["image"] == "ratchet-worker:0.1.0"
    assert container["resources"] == {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"memory": "8Gi"}}
    assert (pod["nodeSelector"], pod["tolerations"]) == ({}, [])


async def test_training_gets_a_gpu_and_the_nodes_that_have_one() -> None:
    pod = spec(await job("ratchet-training"))
    (container,) = pod["containers"]
    assert container["image"] == "ratchet-training:0.1.0"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert pod["nodeSelector"] == {"ratchet/training": "true"}
    assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]


@pytest.mark.parametrize("pool", POOLS)
async def test_secrets_come_by_name_and_the_run_can_say_nothing_to_the_cluster(
    pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATCHET_OPENAI_API_KEY", "sk-of-the-worker")
    manifest = await job(pool)
    (container,) = spec(manifest)["containers"]
    assert {"secretRef": {"name": "ratchet"}} in container["envFrom"]
    assert "sk-of-the-worker" not in json.dumps(manifest)
    assert spec(manifest)["automountServiceAccountToken"] is False
    assert spec(manifest)["securityContext"]["runAsNonRoot"] is True


async def test_an_evicted_run_is_begun_again_by_prefect_and_not_by_kubernetes() -> None:
    manifest = await job("ratchet-training")
    (container,) = spec(manifest)["containers"]
    assert manifest["spec"]["backoffLimit"] == 0
    assert {"name": "PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR", "value": "reschedule"} in container["env"]
    assert container["args"][-2:] == ["flow-run", "execute"]


async def test_job_variables_of_a_deployment_win() -> None:
    chosen = {"image": "ours:2.0", "gpus": "2", "memory_limit": "96Gi", "node_selector": {"gpu": "h100"}}
    pod = spec(await job("ratchet-training", **chosen))
    (container,) = pod["containers"]
    assert (container["image"], pod["nodeSelector"]) == ("ours:2.0", {"gpu": "h100"})
    assert container["resources"]["limits"] == {"memory": "96Gi", "nvidia.com/gpu": "2"}


def test_every_placeholder_has_a_variable_and_every_variable_a_place() -> None:
    template = json.loads(FILE.read_text())
    text, variables = json.dumps(template["job_configuration"]), template["variables"]["properties"]
    assert {one.split(" }}")[0] for one in text.split("{{ ")[1:]} == variables.keys()
