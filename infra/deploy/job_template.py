"""The base job template of a Kubernetes work pool: one file, with each pool's own defaults filled in. No Prefect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

from pydantic import JsonValue

from infra.deploy.catalogue import Job

FILE = Path(__file__).parent / "kubernetes" / "job-template.json"


def job_template(job: Job) -> dict[str, JsonValue]:
    """What Prefect renders into a job per run. People set other values as job variables of a deployment."""
    template = cast("dict[str, JsonValue]", json.loads(FILE.read_text(encoding="utf-8")))
    variables = cast("dict[str, dict[str, dict[str, JsonValue]]]", template["variables"])["properties"]
    for name, value in _defaults(job).items():
        variables[name]["default"] = value
    return template


def _defaults(job: Job) -> dict[str, JsonValue]:
    common: dict[str, JsonValue] = {
        "image": job.image,
        "cpu_request": job.cpu_request,
        "memory_request": job.memory_request,
        "memory_limit": job.memory_limit,
    }
    if not job.gpus:
        return common
    return common | {
        "gpus": str(job.gpus),
        "node_selector": dict(job.node_selector),
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    }
