"""`ratchet up`: all of it ready, schedules that make runs, nothing left behind, and refusals that say what to do."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from flows.bringing_up import environment, only_one, require_free
from infra.deploy.processes import NO_TLS, Ports, Process, processes
from infra.deploy.supervision import tree_of
from tasks.core.errors import UsageError


def free_ports(count: int) -> list[int]:
    taken = [socket.socket() for _ in range(count)]
    for one in taken:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in taken]
    for one in taken:
        one.close()
    return ports


def asked(url: str, body: Any = None) -> Any:
    """Its answer; none while Prefect's SQLite is busy (503), when it wants to be asked again."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read() or "null")
    except urllib.error.HTTPError as error:
        if error.code != 503:
            raise
        return None


@pytest.mark.long
@pytest.mark.xdist_group("up")
def test_it_comes_up_makes_scheduled_runs_and_leaves_nothing_behind(tmp_path: Path, tiny_base_model: Path) -> None:
    prefect, service, hooks = free_ports(3)
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "RATCHET_"))}
    environ |= {"RATCHET_HOME": str(tmp_path / "home"), "RATCHET_BASE_MODEL": str(tiny_base_model)}
    environ["RATCHET_WORK_POOLS"] = "kubernetes"  # is for `ratchet deploy`: here workers do the runs themselves
    command = ["--prefect-port", str(prefect), "--service-port", str(service), "--hooks-port", str(hooks)]
    with (tmp_path / "up.log").open("w") as log:
        up = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "up", *command], env=environ, cwd=tmp_path, stdout=log, stderr=log
        )
    try:
        api = f"http://127.0.0.1:{prefect}/api"
        _until(up, tmp_path, lambda said: "Try first" in said)
        assert asked(f"http://127.0.0.1:{service}/healthz")
        assert asked(f"http://127.0.0.1:{hooks}/healthz")
        second = subprocess.run(
            [sys.executable, "-m", "flows.cli", "up"], env=environ, cwd=tmp_path, capture_output=True, text=True
        )
        assert second.returncode == 2
        assert f"(process {up.pid})" in second.stderr
        _until(up, tmp_path, lambda said: said.count("started!") == 2)  # both workers
        scheduled = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED", "RUNNING", "COMPLETED", "PENDING"]}}}}
        _until(up, tmp_path, lambda said: (asked(f"{api}/flow_runs/count", scheduled) or 0) > 10)
        everything = tree_of(up.pid)
    finally:
        up.send_signal(signal.SIGINT)
        code = up.wait(60)
    said = (tmp_path / "up.log").read_text()
    assert code == 0, said
    assert said.rstrip().endswith("nothing runs any more")
    assert not [pid for pid in everything if Path(f"/proc/{pid}").exists()]


def _until(up: "subprocess.Popen[bytes]", folder: Path, holds: Any, seconds: float = 150) -> None:
    until = time.monotonic() + seconds
    while not holds((folder / "up.log").read_text()):
        said = (folder / "up.log").read_text()
        assert up.poll() is None, said
        assert time.monotonic() < until, said
        time.sleep(0.3)


def test_a_home_that_is_up_already_is_named_with_its_process(tmp_path: Path) -> None:
    already = pytest.raises(UsageError, match=rf"runs on {tmp_path} already \(process {os.getpid()}\)")
    with only_one(tmp_path), already, only_one(tmp_path):
        pass
    with only_one(tmp_path):  # and is free again afterwards
        pass


def test_a_port_that_is_taken_is_named_with_the_option_that_chooses_another() -> None:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        port = one.getsockname()[1]
        with pytest.raises(UsageError, match=rf"port {port} \(--hooks-port\)"):
            require_free(processes(Ports(prefect=free_ports(1)[0], hooks=port, service=free_ports(1)[0])))
    require_free([Process("worker", ("prefect",), pool="ratchet")])


def test_only_the_server_of_our_own_is_known_to_have_no_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ((name, file),) = NO_TLS.items()
    monkeypatch.delenv(name, raising=False)
    assert environment(tmp_path, "http://127.0.0.1:4200/api", Ports(), own_server=True)[name] == file
    assert name not in environment(tmp_path, "http://prefect.example/api", Ports(), own_server=False)  # may redirect
    monkeypatch.setenv(name, "chosen.pem")
    assert environment(tmp_path, "http://127.0.0.1:4200/api", Ports(), own_server=True)[name] == "chosen.pem"
