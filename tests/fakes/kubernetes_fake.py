"""The part of a Kubernetes API that makes jobs, on a local port: real HTTP, and strict by the schema of Kubernetes.

It runs nothing: `run_container` does what a node would with a job's container, as a process of this machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import kubernetes_validate
from http_fake import QuietHandler, serving

MISPLACED = ("parallelism", "completions")  # Prefect wants them in the pod's spec too, where Kubernetes drops them


@dataclass
class Cluster:
    """jobs: what was made, as it would be stored. violations: requests that were refused, and why."""

    url: str = ""
    jobs: list[dict[str, Any]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def kubeconfig(self, file: Path) -> Path:
        """A file by which a client finds this cluster."""
        named = {"clusters": [{"name": "here", "cluster": {"server": self.url}}], "users": [{"name": "me", "user": {}}]}
        context = {"name": "here", "context": {"cluster": "here", "user": "me"}}
        file.write_text(json.dumps(named | {"contexts": [context], "current-context": "here"}))
        return file


@contextmanager
def cluster() -> Iterator[Cluster]:
    state = Cluster()
    with serving(_Handler, state) as address:
        state.url = address
        yield state


class _Handler(QuietHandler):
    state: Cluster

    def do_POST(self) -> None:
        job = json.loads(self.rfile.read(int(self.headers["content-length"])))
        wrong = self._wrong(job)
        if wrong:
            self.state.violations.append(wrong)
            self._send(422, {"kind": "Status", "status": "Failure", "message": wrong, "code": 422})
            return
        job["metadata"] |= {"name": f"{job['metadata']['generateName']}{uuid4().hex[:5]}", "uid": str(uuid4())}
        self.state.jobs.append(job)
        self._send(201, job)

    def _wrong(self, job: dict[str, Any]) -> str:
        if self.path != f"/apis/batch/v1/namespaces/{job['metadata'].get('namespace')}/jobs":
            return f"{self.path} is not where jobs of that namespace are made"
        for name in MISPLACED:
            job["spec"]["template"]["spec"].pop(name, None)
        try:
            kubernetes_validate.validate(job, "1.33", strict=True)
        except kubernetes_validate.ValidationError as error:
            return str(error)
        return ""

    def _send(self, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def run_container(job: Mapping[str, Any], given: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs the container's arguments with its environment. given: what config maps and secrets would add."""
    (container,) = job["spec"]["template"]["spec"]["containers"]
    own = {one["name"]: one["value"] for one in container["env"]}
    machine = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    program = str(Path(sys.executable).parent / container["args"][0])
    return subprocess.run(
        [program, *container["args"][1:]], env=machine | dict(given) | own, capture_output=True, text=True, check=False
    )
