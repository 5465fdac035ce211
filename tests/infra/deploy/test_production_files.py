"""The files that run Ratchet on many machines start what `ratchet up` starts, and keep to a few rules."""

from __future__ import annotations

import json
import re
import shutil
import ssl
import subprocess
from importlib import import_module
from importlib.metadata import version as metadata_version
from importlib.resources import files
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft202012Validator

from infra.deploy.catalogue import WORK_POOLS
from infra.deploy.processes import NO_TLS, WORKER, Ports, Process, processes
from infra.settings import Settings

DEPLOY = Path(__file__).parents[3] / "infra" / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
ADDED = {name: yaml.safe_load((DEPLOY / f"compose.{name}.yaml").read_text()) for name in ("hosted", "gpu")}
SERVICES = [
    (name, service) for file in (COMPOSE, *ADDED.values()) for name, service in file["services"].items()
]  # of compose.yaml, and what the others put over them
MANIFESTS = list(yaml.safe_load_all((DEPLOY / "kubernetes" / "ratchet.yaml").read_text()))
DOCKERFILES = sorted((DEPLOY / "images").glob("*.Dockerfile"))
COMPOSE_GO = "github.com/compose-spec/compose-go/v2/cmd@v2.16.2"  # the library that docker compose reads files with
TABLE = {one.name: one for one in processes(Ports(), host="0.0.0.0")}
ON_KUBERNETES = {one.name: one for one in processes(Ports(), host="0.0.0.0", pools="kubernetes")}
CONFIGS = {one["metadata"]["name"]: one["data"] for one in MANIFESTS if one["kind"] == "ConfigMap"}
WORKLOADS = {one["metadata"]["name"]: one for one in MANIFESTS if one["kind"] in ("Deployment", "Job")}


def container(name: str) -> dict[str, Any]:
    (only,) = WORKLOADS[name]["spec"]["template"]["spec"]["containers"]
    return dict(only)


def variables(pod: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for source in pod["envFrom"]:
        found |= CONFIGS.get(source.get("configMapRef", {}).get("name"), {})
    return found


def secrets(pod: dict[str, Any]) -> set[str]:
    return {source["secretRef"]["name"] for source in pod["envFrom"] if "secretRef" in source}


@pytest.mark.parametrize("process", TABLE.values(), ids=TABLE.keys())
def test_compose_starts_every_process_as_ratchet_up_does(process: Process) -> None:
    service = COMPOSE["services"][process.name]
    assert tuple(service["command"]) == process.command
    assert process.environment.items() <= service["environment"].items()
    if process.health:
        assert f"127.0.0.1:{process.port}{process.health}" in service["healthcheck"]["test"][-1]


@pytest.mark.parametrize("process", ON_KUBERNETES.values(), ids=ON_KUBERNETES.keys())
def test_kubernetes_starts_every_process_by_the_same_table(process: Process) -> None:
    pod = container(process.name)
    assert tuple(pod["args"]) == process.command
    assert process.environment.items() <= variables(pod).items()
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert pod[probe]["httpGet"]["path"] == process.health
    assert pod["ports"][0]["containerPort"] == process.port


def test_only_the_workers_differ_from_ratchet_up_and_only_in_how_runs_are_done() -> None:
    assert TABLE.keys() == ON_KUBERNETES.keys()
    assert {name for name in TABLE if TABLE[name] != ON_KUBERNETES[name]} == {"worker", "trainer"}
    for name in ("worker", "trainer"):
        assert TABLE[name].pool == ON_KUBERNETES[name].pool
        assert WORKER.items() <= (variables(container(name)) | CONFIGS["ratchet-runs"]).items()


def test_a_worker_may_do_in_its_namespace_what_it_does_and_knows_no_secret_of_ratchet() -> None:
    [role] = [one for one in MANIFESTS if one["kind"] == "Role"]
    [binding] = [one for one in MANIFESTS if one["kind"] == "RoleBinding"]
    may = {(resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}
    assert {("jobs", "create"), ("jobs", "delete"), ("jobs", "watch"), ("pods", "watch"), ("pods/log", "get")} <= may
    assert not {resource for resource, _ in may} - {"jobs", "pods", "pods/log", "events"}
    for name in ON_KUBERNETES.keys() | {"deploy"}:
        pod = WORKLOADS[name]["spec"]["template"]["spec"]
        account = pod.get("serviceAccountName")
        assert account == (binding["subjects"][0]["name"] if name in ("worker", "trainer") else None)
        assert account or pod["automountServiceAccountToken"] is False
    for name in ("worker", "trainer"):  # Prefect writes every PREFECT_* variable of theirs into the jobs
        assert secrets(container(name)) == {"ratchet-prefect-auth"}


def test_runs_find_in_the_cluster_what_the_job_template_names() -> None:
    template = json.loads((DEPLOY / "kubernetes" / "job-template.json").read_text())
    pod = template["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]["containers"][0]
    default = {name: one.get("default") for name, one in template["variables"]["properties"].items()}
    named = {(one["kind"], one["metadata"]["name"]) for one in MANIFESTS}
    configs = {("ConfigMap", one["configMapRef"]["name"]) for one in pod["envFrom"] if "configMapRef" in one}
    wanted = {
        ("Namespace", default["namespace"]),
        ("ServiceAccount", default["service_account_name"]),
        ("PersistentVolumeClaim", default["home_claim"]),
    }
    assert wanted | configs <= named
    assert secrets(pod) <= secrets(container("hooks"))
    kustomization = yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())
    assert kustomization["namespace"] == default["namespace"]
    assert CONFIGS["ratchet-worker"]["PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_NAMESPACES"] == default["namespace"]
    assert CONFIGS["ratchet-deploy"]["RATCHET_WORK_POOLS"] == "kubernetes"


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
    images = [one["image"] for _, one in SERVICES if "image" in one] + [container(name)["image"] for name in WORKLOADS]
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
    text = "".join(file.read_text() for file in DEPLOY.glob("compose*.yaml"))
    asked = set(re.findall(r"\$\{(\w+)", text))
    example = dict(
        line.split("=", 1) for line in (DEPLOY / ".env.example").read_text().splitlines() if re.match(r"\w+=", line)
    )
    assert asked == example.keys()
    assert not any(example.values())
    assert not [one for one in MANIFESTS if one["kind"] == "Secret"]
    for _, service in SERVICES:
        for name, value in (service.get("environment") or {}).items():
            if re.search("PASSWORD|SECRET|_KEY$|ALLOWED_KEYS", name):
                assert re.fullmatch(r"\$\{\w+:\?set it in \.env\}", value), name


def test_compose_names_settings_volumes_and_services_that_exist() -> None:
    assert {name for name, _ in SERVICES} == COMPOSE["services"].keys()
    for name, service in SERVICES:
        for setting in (one for one in service.get("environment") or {} if one.startswith("RATCHET_")):
            assert setting.removeprefix("RATCHET_").lower() in Settings.model_fields, setting
        for volume in service.get("volumes", ()):
            assert volume.partition(":")[0] in COMPOSE["volumes"], name
        for needed, how in service.get("depends_on", {}).items():
            other = COMPOSE["services"][needed]
            assert "healthcheck" in other or how["condition"] == "service_completed_successfully"
        if "build" in service:
            assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


def test_artifacts_are_in_a_bucket_so_that_only_runs_share_a_folder() -> None:
    services = {name: one for name, one in COMPOSE["services"].items() if name in TABLE and name != "prefect"}
    uris = {one["environment"]["RATCHET_ARTIFACTS_URI"] for one in services.values()}
    assert uris == {CONFIGS["ratchet-prefect"]["RATCHET_ARTIFACTS_URI"]} == {"s3://ratchet/artifacts"}
    assert COMPOSE["services"]["bucket"]["command"][-1] == "store/ratchet"
    sharing = {name for name, one in services.items() if any(v.startswith("home:") for v in one.get("volumes", ()))}
    claiming = {name for name, one in WORKLOADS.items() if "persistentVolumeClaim" in str(one)}
    assert {"service", "hooks", "deploy"}.isdisjoint(sharing | claiming)


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_manifests_keep_to_the_schema_of_kubernetes(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, "1.33", strict=True)
    misspelt = manifest | {"metdata": manifest["metadata"]}
    with pytest.raises(kubernetes_validate.ValidationError, match="metdata"):
        kubernetes_validate.validate(misspelt, "1.33", strict=True)


@pytest.mark.parametrize("file", sorted(DEPLOY.glob("compose*.yaml")), ids=lambda file: file.name)
def test_compose_files_keep_to_the_schema_of_the_compose_specification(file: Path) -> None:
    vendored = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    validator = Draft202012Validator(json.loads(vendored.read_text(encoding="utf-8")))
    text = file.read_text()
    assert not [one.message for one in validator.iter_errors(yaml.safe_load(text))]
    misspelt = yaml.safe_load(text.replace("image:", "images:", 1))
    assert ["'images' was unexpected" in one.message for one in validator.iter_errors(misspelt)] == [True]


@pytest.mark.skipif(
    shutil.which("go") is None, reason="needs Go, which builds what docker compose reads its files with"
)
def test_compose_reads_the_files_and_lays_one_over_the_other(tmp_path: Path) -> None:
    names = ["compose.yaml", "compose.hosted.yaml", "compose.gpu.yaml"]
    for name in names:  # the loader alone knows no .env
        (tmp_path / name).write_text(re.sub(r"\$\{\w+:\?[^}]*\}", "x", (DEPLOY / name).read_text()))
    done = subprocess.run(["go", "run", COMPOSE_GO, *names], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    merged = yaml.safe_load(done.stdout)["services"]
    assert merged["service"]["image"] == "ratchet-service:0.1.0"
    assert tuple(merged["service"]["command"]) == TABLE["service"].command
    assert {"RATCHET_DATABASE_URL", "RATCHET_HOSTED_API_KEY"} <= {
        one.partition("=")[0] for one in merged["service"]["environment"]
    }
    assert merged["trainer"]["image"] == "ratchet-training:0.1.0"
    assert "PREFECT_API_URL=http://prefect:4200/api" in merged["trainer"]["environment"]


def test_the_schema_check_can_fail() -> None:
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(WORKLOADS["worker"] | {"spec": {"replica": 1}}, "1.33", strict=True)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_renders_every_manifest() -> None:
    rendered = kustomized(DEPLOY / "kubernetes")
    assert len(rendered) == len(MANIFESTS)
    assert {one["metadata"].get("namespace", "ratchet") for one in rendered} == {"ratchet"}
    hosted = kustomized(DEPLOY / "kubernetes-hosted")
    [changed] = [one for one in hosted if one not in rendered]
    assert changed["metadata"]["name"] == "service"
    assert changed["spec"]["template"]["spec"]["containers"][0]["image"] == "ratchet-service:0.1.0"


def kustomized(folder: Path) -> list[dict[str, Any]]:
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=True)
    return list(yaml.safe_load_all(done.stdout))


def test_every_image_that_is_run_can_be_built_and_every_one_that_can_be_built_is_run() -> None:
    run = {one["image"] for _, one in SERVICES if "image" in one} | {pool.job.image for pool in WORK_POOLS}
    run |= {container(name)["image"] for name in WORKLOADS}
    ours = {image.partition(":")[0] for image in run if image.startswith("ratchet-")}
    assert ours == {f"ratchet-{file.name.partition('.')[0]}" for file in DOCKERFILES}
    version = metadata_version("ratchet")
    assert all(image.endswith(f":{version}") for image in run if image.startswith("ratchet-"))


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_dockerfiles_copy_what_exists_and_start_by_the_table(file: Path) -> None:
    root = DEPLOY.parents[1]
    lines = file.read_text().splitlines()
    for line in lines:
        if line.startswith("COPY "):
            assert all((root / name).exists() for name in line.split()[1:-1]), line
    (command,) = [line.removeprefix("CMD ") for line in lines if line.startswith("CMD ")]
    assert tuple(yaml.safe_load(command)) in {one.command for one in TABLE.values()}


@pytest.mark.parametrize("given", [COMPOSE["x-prefect"], CONFIGS["ratchet-prefect"]], ids=["compose", "kubernetes"])
def test_an_api_without_tls_is_given_the_authority_that_vouches_for_nobody(given: dict[str, str]) -> None:
    ((name, here),) = NO_TLS.items()
    assert given["PREFECT_API_URL"].startswith("http://")
    assert given[name] == f"/opt/ratchet/{Path(here).relative_to(DEPLOY.parents[1])}"
    for file in (one for one in DOCKERFILES if "COPY flows flows" in one.read_text()):  # what asks Prefect's API
        assert {"WORKDIR /opt/ratchet", "COPY infra infra"} <= set(file.read_text().splitlines()), file


def test_that_authority_is_the_only_one_believed_and_nobody_has_its_key() -> None:
    (bundle,) = NO_TLS.values()
    [only] = ssl.create_default_context(cafile=bundle).get_ca_certs()
    assert only["subject"] == only["issuer"]
    assert "PRIVATE KEY" not in Path(bundle).read_text()
