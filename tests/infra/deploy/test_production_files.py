"""The files that run Ratchet on many machines start what `ratchet up` starts, and keep to a few rules."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from infra.deploy.processes import Ports, Process, processes
from infra.settings import Settings

DEPLOY = Path(__file__).parents[3] / "infra" / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
MANIFESTS = list(yaml.safe_load_all((DEPLOY / "kubernetes" / "ratchet.yaml").read_text()))
DOCKERFILES = sorted((DEPLOY / "images").glob("*.Dockerfile"))
TABLE = {one.name: one for one in processes(Ports(), host="0.0.0.0")}
CONFIGS = {one["metadata"]["name"]: one["data"] for one in MANIFESTS if one["kind"] == "ConfigMap"}
WORKLOADS = {one["metadata"]["name"]: one for one in MANIFESTS if one["kind"] in ("Deployment", "Job")}


def container(name: str) -> dict[str, Any]:
    (only,) = WORKLOADS[name]["spec"]["template"]["spec"]["containers"]
    return dict(only)


@pytest.mark.parametrize("process", TABLE.values(), ids=TABLE.keys())
def test_every_process_starts_as_ratchet_up_starts_it(process: Process) -> None:
    service, pod = COMPOSE["services"][process.name], container(process.name)
    assert tuple(service["command"]) == tuple(pod["args"]) == process.command
    pod_environment: dict[str, str] = {}
    for source in pod["envFrom"]:
        pod_environment |= CONFIGS.get(source.get("configMapRef", {}).get("name"), {})
    for name, value in process.environment.items():
        assert service["environment"][name] == pod_environment[name] == value
    if process.health:
        assert f"127.0.0.1:{process.port}{process.health}" in service["healthcheck"]["test"][-1]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert pod[probe]["httpGet"]["path"] == process.health
        assert pod["ports"][0]["containerPort"] == process.port


@pytest.mark.parametrize(
    "given",
    [COMPOSE["services"]["prefect"]["environment"], CONFIGS["ratchet-prefect-server"]],
    ids=["compose", "kubernetes"],
)
def test_what_the_server_keeps_its_events_with_is_installed(given: dict[str, str]) -> None:
    broker, cache = (import_module(given[f"PREFECT_MESSAGING_{what}"]) for what in ("BROKER", "CACHE"))
    assert broker.__name__ != "prefect.server.utilities.messaging.memory"  # dies with the server
    assert callable(broker.Publisher)
    assert callable(broker.Consumer)
    assert callable(cache.Cache)


def test_nothing_else_of_ours_runs_but_what_deploys() -> None:
    ours = {name for name, one in COMPOSE["services"].items() if one["image"].startswith("ratchet-")}
    assert ours == WORKLOADS.keys() == TABLE.keys() | {"deploy"}


def test_images_are_pinned_and_nobody_is_root() -> None:
    images = [one["image"] for one in COMPOSE["services"].values()] + [container(name)["image"] for name in WORKLOADS]
    assert all(re.fullmatch(r"[a-z0-9/-]+:(RELEASE\.)?\d[\w.-]*", image) for image in images), images
    for name, one in COMPOSE["services"].items():
        assert one["image"].startswith("ratchet-") or one.get("user", "root") != "root", name
    for one in WORKLOADS.values():
        assert one["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"]
    for file in DOCKERFILES:
        words = [line.split() for line in file.read_text().splitlines() if line.strip()]
        assert [line[1] for line in words if line[0] == "USER"][-1] == "ratchet", file.name
        assert all(re.search(r":\d+\.\d+", line[1]) for line in words if line[0] == "FROM"), file.name


def test_files_hold_no_secret_and_every_one_that_is_asked_for_is_in_the_example() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    asked = set(re.findall(r"\$\{(\w+)", text))
    example = dict(
        line.split("=", 1) for line in (DEPLOY / ".env.example").read_text().splitlines() if re.match(r"\w+=", line)
    )
    assert asked == example.keys()
    assert not any(example.values())
    assert not [one for one in MANIFESTS if one["kind"] == "Secret"]
    for service in COMPOSE["services"].values():
        for name, value in (service.get("environment") or {}).items():
            if re.search("PASSWORD|SECRET|_KEY$|ALLOWED_KEYS", name):
                assert re.fullmatch(r"\$\{\w+:\?set it in \.env\}", value), name


def test_compose_names_settings_volumes_and_services_that_exist() -> None:
    for name, service in COMPOSE["services"].items():
        for setting in (one for one in service.get("environment") or {} if one.startswith("RATCHET_")):
            assert setting.removeprefix("RATCHET_").lower() in Settings.model_fields, setting
        for volume in service.get("volumes", ()):
            assert volume.partition(":")[0] in COMPOSE["volumes"], name
        for needed, how in service.get("depends_on", {}).items():
            other = COMPOSE["services"][needed]
            assert "healthcheck" in other or how["condition"] == "service_completed_successfully"
        if "build" in service:
            assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_manifests_keep_to_the_schema_of_kubernetes(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, "1.33", strict=True)


def test_the_schema_check_can_fail() -> None:
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(WORKLOADS["worker"] | {"spec": {"replica": 1}}, "1.33", strict=True)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_renders_every_manifest() -> None:
    command = ["kubectl", "kustomize", str(DEPLOY / "kubernetes")]
    rendered = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert len(list(yaml.safe_load_all(rendered))) == len(MANIFESTS)


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_dockerfiles_copy_what_exists_and_start_by_the_table(file: Path) -> None:
    root = DEPLOY.parents[1]
    lines = file.read_text().splitlines()
    for line in lines:
        if line.startswith("COPY "):
            assert all((root / name).exists() for name in line.split()[1:-1]), line
    (command,) = [line.removeprefix("CMD ") for line in lines if line.startswith("CMD ")]
    assert tuple(yaml.safe_load(command)) in {one.command for one in TABLE.values()}
