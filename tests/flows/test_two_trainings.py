"""Two processes that want the model of the same labels, as `ratchet demo` and a worker of `ratchet up`: one trains."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from command_line import Run

pytestmark = pytest.mark.long
TRAIN = [sys.executable, "-m", "flows.cli", "train", "--force", "--json"]
ENVIRON = {"RATCHET_LORA__EPOCHS": "30", "RATCHET_LORA__CHECKPOINT_STEPS": "5"}


@pytest.fixture
def labelled(home: Path, run: Run, docs: Path, tmp_path: Path) -> None:
    rows = [
        {"question": f"How tall is mast {n}?", "answer": f"It stands {n} metres tall.", "documents": ["mast.md"]}
        for n in range(8)
    ]
    labels = tmp_path / "labels.jsonl"
    labels.write_text("\n".join(json.dumps(row | {"split": "train"}) for row in rows))
    assert run("ingest", docs).exit_code == 0
    assert run("labels", "import", labels).exit_code == 0


def training() -> subprocess.Popen[str]:
    environ = os.environ | ENVIRON
    process = subprocess.Popen(TRAIN, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    killer = threading.Timer(150, process.kill)  # or one that says nothing would be waited for without end
    killer.daemon = True
    killer.start()
    return process


def said_until(process: subprocess.Popen[str], pattern: str) -> str:
    """What it says up to the line in which the pattern is found; all of it, where it ends before."""
    assert process.stderr is not None
    said = ""
    while line := process.stderr.readline():
        said += line
        if re.search(pattern, line):
            break
    return said


@pytest.mark.usefixtures("labelled")
def test_the_second_waits_for_the_first_by_name_and_takes_its_model(home: Path) -> None:
    with training() as first:
        begun = said_until(first, r"training: loss")
        first.send_signal(signal.SIGSTOP)  # it takes as long as the second needs to get there
        try:
            with training() as second:
                waits = said_until(second, r"waiting:")
                first.send_signal(signal.SIGCONT)
                came, _ = first.communicate()
                taken, rest = second.communicate()
        finally:
            first.send_signal(signal.SIGCONT)
    assert "training: loss" in begun
    assert f"waiting: process {first.pid} on " in waits
    assert "training:" not in waits + rest
    assert (first.returncode, second.returncode) == (0, 0)
    made, found = json.loads(came), json.loads(taken)
    assert (made["model"], made["release"]) == (found["model"], found["release"])
    assert made["seconds"] > 0
    assert found["seconds"] == 0
    assert len(list((home / "trainings").iterdir())) == 1


@pytest.mark.usefixtures("labelled")
def test_the_second_trains_when_the_first_is_killed() -> None:
    with training() as first:
        begun = said_until(first, r"training: loss")
        first.send_signal(signal.SIGSTOP)
        with training() as second:
            waits = said_until(second, r"waiting:")
            first.kill()
            taken, rest = second.communicate()
    assert "training: loss" in begun
    assert f"waiting: process {first.pid} on " in waits
    assert second.returncode == 0, rest
    assert json.loads(taken)["seconds"] > 0


@pytest.mark.usefixtures("labelled")
def test_who_waits_for_another_training_can_be_told_to_end() -> None:
    with training() as first:
        said_until(first, r"training: loss")
        first.send_signal(signal.SIGSTOP)
        with training() as second:
            waits = said_until(second, r"waiting:")
            second.send_signal(signal.SIGINT)
            _, rest = second.communicate()
        first.kill()
    assert "waiting:" in waits
    assert second.returncode == 130, rest
