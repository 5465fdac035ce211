"""Programs that are kept running together, and that end together, however that comes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from infra.deploy import supervision
from infra.deploy.processes import Process, processes
from infra.deploy.supervision import Supervisor, tree_of
from tasks.core.errors import UsageError

PARENT = """
import subprocess, sys, time
below = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print("below", below.pid, flush=True)
time.sleep(600)
"""
DEAF = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", os.getpid(), flush=True)
time.sleep(600)
"""
STARTER = """
import os, sys, time
from infra.deploy.processes import Process
from infra.deploy.supervision import Supervisor
supervisor = Supervisor(lambda name, line: print(line, flush=True), os.environ)
supervisor.start(Process("one", ("python", "-c", sys.argv[1]), is_killed=sys.argv[2] == "killed"))
time.sleep(600)
"""


class Heard:
    """What programs said."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __call__(self, name: str, line: str) -> None:
        self.lines.append((name, line))

    def pid(self, word: str = "below") -> int:
        wait_until(lambda: any(line.startswith(word) for _, line in self.lines))
        return next(int(line.split()[1]) for _, line in self.lines if line.startswith(word))


def wait_until(holds: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.05)


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def supervisor(heard: Heard) -> Iterator[Supervisor]:
    made = Supervisor(heard, os.environ)
    yield made
    made.end(("one", "two"), seconds=2)


def program(name: str, code: str, **how: bool) -> Process:
    return Process(name, ("python", "-c", code), **how)  # type: ignore[arg-type]


@pytest.mark.parametrize("is_killed", [False, True])
def test_what_a_program_started_ends_with_it_whatever_session_it_is_in(
    supervisor: Supervisor, heard: Heard, is_killed: bool
) -> None:
    supervisor.start(program("one", PARENT, is_killed=is_killed))
    below = heard.pid()
    supervisor.end(("one",))
    assert is_gone(below)


def test_what_a_killed_program_leaves_running_is_killed_too(supervisor: Supervisor, heard: Heard) -> None:
    supervisor.start(program("one", PARENT, is_killed=True))
    below = psutil.Process(heard.pid())
    parent = below.parent()
    assert parent is not None
    parent.kill()
    wait_until(lambda: "one" in supervisor.ended())
    assert is_gone(below.pid)


def test_a_program_that_does_not_want_to_end_is_killed(supervisor: Supervisor, heard: Heard) -> None:
    supervisor.start(program("one", DEAF))
    pid = heard.pid("deaf")
    supervisor.end(("one",), seconds=0.5)
    assert is_gone(pid)


@pytest.mark.parametrize("how", ["asked", "killed"])
def test_everything_ends_when_the_one_who_started_it_is_killed(how: str, tmp_path: Path) -> None:
    starter = subprocess.Popen([sys.executable, "-c", STARTER, PARENT, how], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    below = int(starter.stdout.readline().split()[1])
    everything = [*tree_of(starter.pid)]
    assert below in everything
    assert len(everything) >= 3  # the watchdog, the program, what that started
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    starter.stdout.close()
    wait_until(lambda: all(map(is_gone, everything)))


def test_lines_are_told_with_the_name_of_who_said_them(supervisor: Supervisor, heard: Heard) -> None:
    supervisor.start(program("one", "print('hello'); import sys; print('trouble', file=sys.stderr)"))
    wait_until(lambda: len(heard.lines) == 2)
    assert heard.lines == [("one", "hello"), ("one", "trouble")]
    wait_until(lambda: supervisor.ended() == {"one": 0})


def test_a_program_that_ends_is_started_again_but_not_for_ever(
    supervisor: Supervisor, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "RESTARTS", 2)
    supervisor.start(program("one", "raise SystemExit(3)"))
    for again in (True, True, False):
        wait_until(lambda: supervisor.ended() == {"one": 3})
        assert supervisor.restart("one") is again


def test_a_program_that_is_not_installed_is_named() -> None:
    with pytest.raises(UsageError, match="no-such-program is not there"):
        supervision.resolved(("no-such-program",))


def test_every_server_has_a_health_check_and_every_worker_a_pool() -> None:
    for one in processes():
        assert (one.health is None) == (one.port is None) == (one.pool is not None)
        assert one.port is None or str(one.port) in one.command
