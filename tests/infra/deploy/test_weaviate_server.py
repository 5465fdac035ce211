"""A development server: where it comes from, and that it ends with whoever started it."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.deploy.weaviate_binary import VERSION, find_or_build, kept_binary, why_none
from infra.deploy.weaviate_server import STARTS, Ports, RunningServer, find_or_run, free_ports, is_alive, is_ready, run
from tasks.core.errors import IndexUnavailable

ROOT = Path(__file__).parents[3]
NO_GO = "there is no `go` on PATH"


def program(path: Path, script: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def go(folder: Path, install: str, version: str = "go1.26.8") -> Path:
    return program(folder / "go", f'[ "$1" = env ] && echo {version} && exit 0\n{install}')


def environ(tmp_path: Path, **more: str) -> dict[str, str]:
    (tmp_path / "bin").mkdir(exist_ok=True)
    return {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "XDG_CACHE_HOME": str(tmp_path / "cache"), **more}


def eventually(holds: Callable[[], bool], seconds: float = 30) -> bool:
    until = time.monotonic() + seconds
    while not holds() and time.monotonic() < until:
        time.sleep(0.05)
    return holds()


# ── where it comes from ──────────────────────────────────────────────────────────────────────────────────────────────


def test_the_named_binary_comes_before_path_and_path_before_the_kept_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = environ(tmp_path)
    kept = program(kept_binary(there))
    assert find_or_build(there) == kept
    on_path = program(tmp_path / "bin" / "weaviate-server")
    assert find_or_build(there) == on_path
    named = program(tmp_path / "mine")
    assert find_or_build(there | {"RATCHET_WEAVIATE_BINARY": str(named)}) == named
    said = capsys.readouterr().err.splitlines()
    assert [line.split("(")[1] for line in said] == [
        "an earlier build left it).",
        "it is on PATH).",
        "RATCHET_WEAVIATE_BINARY names it).",
    ]


def test_a_named_binary_that_is_not_there_is_not_replaced_by_another(tmp_path: Path) -> None:
    there = environ(tmp_path, RATCHET_WEAVIATE_BINARY=str(tmp_path / "gone"))
    program(kept_binary(there))
    with pytest.raises(IndexUnavailable, match="RATCHET_WEAVIATE_BINARY"):
        find_or_build(there)


def test_without_a_binary_and_without_go_the_reason_is_clear(tmp_path: Path) -> None:
    assert NO_GO in (why_none(environ(tmp_path)) or "")
    with pytest.raises(IndexUnavailable, match=NO_GO):
        find_or_build(environ(tmp_path))


def test_a_go_that_is_too_old_is_named(tmp_path: Path) -> None:
    go(tmp_path / "bin", "exit 1", version="go1.22.5")
    assert "is go1.22.5. Install Go 1.26" in (why_none(environ(tmp_path)) or "")


def test_with_a_new_go_nothing_stands_in_the_way(tmp_path: Path) -> None:
    go(tmp_path / "bin", "exit 1")
    assert why_none(environ(tmp_path)) is None


def test_two_that_need_a_server_build_it_once(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    go(tmp_path / "bin", f'echo "$@" >> {calls}; sleep 0.5; printf "#!/bin/sh\\n" > "$GOBIN/weaviate-server"')
    there = environ(tmp_path)
    found: list[Path] = []
    builders = [threading.Thread(target=lambda: found.append(find_or_build(there))) for _ in range(2)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()
    assert found == [kept_binary(there)] * 2
    assert calls.read_text().splitlines() == [f"install github.com/weaviate/weaviate/cmd/weaviate-server@{VERSION}"]
    assert [path.name for path in kept_binary(there).parent.iterdir() if path.name != ".lock"] == ["weaviate-server"]


def test_a_build_that_fails_says_what_go_said_last_and_leaves_nothing(tmp_path: Path) -> None:
    go(tmp_path / "bin", "for n in 1 2 3 4 5 6; do echo line $n >&2; done; exit 2")
    with pytest.raises(IndexUnavailable, match=r"code 2.*\nline 2\nline 3\nline 4\nline 5\nline 6$"):
        find_or_build(environ(tmp_path))
    assert not kept_binary(environ(tmp_path)).exists()


# ── how it runs ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_ports_are_all_different_and_their_pairs_neighbours() -> None:
    for _ in range(20):
        ports = free_ports()
        numbers = [ports.http, ports.grpc, ports.gossip, ports.data, ports.raft, ports.raft_rpc]
        assert len(set(numbers)) == 6
        assert (ports.data, ports.raft_rpc) == (ports.gossip + 1, ports.raft + 1)
    assert isinstance(free_ports(http=18321), Ports)
    assert free_ports(http=18321).http == 18321


def test_a_named_server_is_used_when_it_is_ready_and_an_error_when_not(
    weaviate_server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATCHET_WEAVIATE_URL", weaviate_server.url)
    monkeypatch.setenv("RATCHET_WEAVIATE_GRPC_PORT", str(weaviate_server.grpc_port))
    with find_or_run(tmp_path) as found:
        assert (found.url, found.grpc_port) == (weaviate_server.url, weaviate_server.grpc_port)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("RATCHET_WEAVIATE_URL", f"http://127.0.0.1:{free_ports().http}")
    with pytest.raises(IndexUnavailable, match="RATCHET_WEAVIATE_URL"), find_or_run(tmp_path):
        pass


def test_a_port_that_was_taken_meanwhile_is_exchanged_for_another(tmp_path: Path) -> None:
    said = "bind: address already in use"
    taken = program(tmp_path / "server", f'echo "$GRPC_PORT" >> "{tmp_path}/tried"; echo "{said}" >&2; exit 1')
    with pytest.raises(IndexUnavailable, match=said), run(tmp_path / "data", taken):
        pass
    tried = (tmp_path / "tried").read_text().split()
    assert len(tried) == len(set(tried)) == STARTS


def test_ports_that_somebody_named_are_not_exchanged(tmp_path: Path) -> None:
    taken = program(tmp_path / "server", f'echo x >> "{tmp_path}/tried"; echo "address already in use" >&2; exit 1')
    with pytest.raises(IndexUnavailable), run(tmp_path / "data", taken, ports=free_ports()):
        pass
    assert (tmp_path / "tried").read_text().split() == ["x"]


def test_a_program_that_ends_at_once_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    broken = program(tmp_path / "broken", "echo the disk is full >&2; exit 3")
    with pytest.raises(IndexUnavailable, match=r"ended with code 3(.|\n)*the disk is full"), run(tmp_path, broken):
        pass


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_command_says_where_it_is_and_its_server_ends_with_it(
    weaviate_binary: Path, tmp_path: Path, how: signal.Signals
) -> None:
    ports = free_ports()
    command = subprocess.Popen(
        [
            *(sys.executable, "-m", "infra.deploy.weaviate_server", "--data", str(tmp_path)),
            *("--port", str(ports.http), "--grpc-port", str(ports.grpc)),
        ],
        cwd=ROOT,
        env={**os.environ, "RATCHET_WEAVIATE_BINARY": str(weaviate_binary)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with command:
        assert command.stdout is not None
        said = [command.stdout.readline() for _ in range(3)]
        url = f"http://127.0.0.1:{ports.http}"
        assert said[2].strip() == f"export RATCHET_WEAVIATE_URL={url} RATCHET_WEAVIATE_GRPC_PORT={ports.grpc}"
        assert is_ready(url)
        servers = [pid for pid in children_of(command.pid) for pid in children_of(pid)]
        assert len(servers) == 1
        command.send_signal(how)
        assert command.wait(30) == (-how if how == signal.SIGKILL else 0)
    assert eventually(lambda: not is_alive(servers[0]))


def children_of(pid: int) -> list[int]:
    found = []
    for task in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(task.read_text().rsplit(")", 1)[1].split()[1]) == pid:
                found.append(int(task.parent.name))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
    return found
