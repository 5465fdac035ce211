"""Ctrl-C and SIGTERM in the middle of a command: said in a sentence, nothing runs on, the next one goes on."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from flows.cli import ratchet
from infra.adapters.base_models import PACKAGED

pytestmark = pytest.mark.long

PREFECT_SERVER = "prefect.server.api.server:create_app"
TRAIN = [sys.executable, "-m", "flows.cli", "train", "--force"]


@pytest.mark.xdist_group("prefect")
@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(("how", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_demo_that_is_told_to_end_stops_the_prefect_server_that_it_started(
    tmp_path: Path, how: signal.Signals, status: int
) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    output = tmp_path / "output"
    with output.open("w") as written:
        demo = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "demo"], env=environ, stdout=written, stderr=subprocess.STDOUT
        )
    killer = threading.Timer(150, demo.kill)
    killer.start()
    try:
        while demo.poll() is None and "embed" not in output.read_text():  # a line of the first flow
            time.sleep(0.05)
        server = prefect_servers(demo.pid)
        demo.send_signal(how)
        code = demo.wait()
    finally:
        killer.cancel()
        demo.kill()
    said = output.read_text()
    assert server, said
    assert code == status, said
    assert "Traceback" not in said
    assert "ratchet: stopped. What was done is kept; the same command goes on from there.\n" in said
    assert not [one for one in server if Path(f"/proc/{one}").exists()]


@pytest.mark.parametrize(("how", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_that_is_told_to_end_while_it_unpacks_the_base_model_ends_soon(
    docs: Path, home: Path, how: signal.Signals, status: int
) -> None:
    words = [sys.executable, "-m", "flows.cli", "ingest", str(docs)]
    environ = os.environ | {"RATCHET_BASE_MODEL": PACKAGED}
    with subprocess.Popen(words, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as command:
        begun = time.monotonic()
        while not (found := unpacking(home)) and command.poll() is None and time.monotonic() < begun + 120:
            time.sleep(0.05)
        time.sleep(1)  # it unpacks for 15 seconds at the least
        command.send_signal(how)
        told = time.monotonic()
        _, said = command.communicate(timeout=120)
        assert time.monotonic() - told < 5
    assert command.returncode == status, said
    assert found
    assert unpacking(home) == []
    assert list((home / "models").iterdir()) == []  # the next run unpacks it
    assert said.endswith("ratchet: stopped. What was done is kept; the same command goes on from there.\n")


@pytest.mark.usefixtures("home")
def test_a_training_that_is_interrupted_goes_on_where_it_was(docs: Path, tmp_path: Path) -> None:
    rows = [
        {"question": f"How tall is mast {n}?", "answer": f"It stands {n} metres tall.", "documents": ["mast.md"]}
        for n in range(8)
    ]
    labels = tmp_path / "labels.jsonl"
    labels.write_text("\n".join(json.dumps(row | {"split": "train"}) for row in rows))
    for words in (["ingest", str(docs)], ["labels", "import", str(labels)]):
        assert CliRunner().invoke(ratchet, words).exit_code == 0
    environ = os.environ | {"RATCHET_LORA__EPOCHS": "30", "RATCHET_LORA__CHECKPOINT_STEPS": "5"}

    training = subprocess.Popen(TRAIN, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    killer = threading.Timer(150, training.kill)  # or a training that says nothing would wait for ever
    killer.start()
    assert training.stderr is not None
    said = ""
    while (line := training.stderr.readline()) and not (told := re.search(r"loss .*?\b(\d+)/60\b", line)):
        said += line
    training.send_signal(signal.SIGINT)
    rest = training.stderr.read()
    code = training.wait()
    killer.cancel()
    training.stderr.close()
    assert told, said
    assert code == 130, said + rest
    assert "Traceback" not in rest
    assert rest.endswith("ratchet: stopped. What was done is kept; the same command goes on from there.\n")
    reached = max(int(kept.name.rpartition("-")[2]) for kept in (tmp_path / "home").glob("**/checkpoint-*"))
    assert int(told[1]) <= reached < 60
    again = subprocess.run(TRAIN, env=environ, capture_output=True, text=True, check=True)
    first = re.search(r"training: .*?\b(\d+)/\d+", again.stderr)
    assert first is not None
    assert int(first[1]) > reached
    assert "model" in again.stdout


def prefect_servers(parent: int) -> list[str]:
    """Process ids of those that this process has started."""
    found = subprocess.run(
        ["pgrep", "-P", str(parent), "-f", PREFECT_SERVER], stdout=subprocess.PIPE, text=True, check=False
    )
    return found.stdout.split()


def unpacking(home: Path) -> list[str]:
    """Process ids of those that unpack a model into this home."""
    named = ["pgrep", "-f", f"packaged_model .* {home}/"]
    return subprocess.run(named, stdout=subprocess.PIPE, text=True, check=False).stdout.split()
