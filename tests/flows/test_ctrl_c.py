"""Ctrl-C in the middle of `ratchet train`: said in a sentence, and the next run goes on from there."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from flows.cli import ratchet

pytestmark = pytest.mark.long

TRAIN = [sys.executable, "-m", "flows.cli", "train", "--force"]


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
