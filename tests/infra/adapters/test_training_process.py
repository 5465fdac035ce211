from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import parent_of_training
import pytest
from killed_training import SETTINGS, rows, trainer

from infra.adapters.base_models import BaseModel
from infra.adapters.folder_artifacts import FolderArtifacts
from infra.adapters.lora_settings import LoraSettings
from infra.adapters.lora_trainer import LoraTrainer
from infra.adapters.training_messages import Ended, ended
from infra.adapters.training_process import ChildFitting
from tasks.core.errors import BadSetting, NotEnoughLabels, TrainingFailed, TrainingInterrupted
from tasks.core.ports import TrainedModel
from tasks.documents import stopping

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def in_process(base: BaseModel, store: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return trainer(base, store).train(rows(), [], tmp_path_factory.mktemp("here"))


def in_child(base: BaseModel, store: Path, python: str | None = None, settings: LoraSettings = SETTINGS) -> LoraTrainer:
    return LoraTrainer(base, FolderArtifacts(store), settings, threads=1, fitting=ChildFitting(python))


def parent(
    base: BaseModel, store: Path, workdir: Path, when: str, processes: int = 1
) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(path for path in sys.path if path)
    home = base.folder.parent / "home"
    return subprocess.run(
        [sys.executable, parent_of_training.__file__, *map(str, (base.folder, home, store, workdir, when, processes))],
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )


def test_the_parent_of_a_training_never_imports_torch_and_gets_the_same_adapter(
    in_process: TrainedModel, base: BaseModel, store: Path, tmp_path: Path
) -> None:
    told = json.loads(parent(base, store, tmp_path, "never").stdout)
    assert told == {"adapter": in_process.model.adapter, "torch": False}


def test_a_training_that_was_asked_to_end_goes_on_from_that_step_to_the_same_bits(
    base: BaseModel, store: Path, tmp_path: Path
) -> None:
    longer = SETTINGS.model_copy(update={"epochs": 30})  # 150 steps: it is asked to end long before the last
    stop, reports = threading.Event(), list[tuple[str, int]]()

    def progress(what: str, done: int, _total: int) -> None:
        reports.append((what, done))
        if done == 3:
            stop.set()

    token = stopping.set(stop)
    try:
        with pytest.raises(TrainingInterrupted) as ended_by:
            in_child(base, store, settings=longer).train(rows(), [], tmp_path / "work", progress)
    finally:
        stopping.reset(token)
    ended_at = ended_by.value.values.get("step")
    if ended_at is None:
        pytest.fail(str(ended_by.value))
    assert f"checkpoint-{ended_at}" in {folder.name for folder in (tmp_path / "work").glob("checkpoint-*")}
    assert "tokens/s" in reports[-1][0]
    again: list[tuple[str, int]] = []
    resumed = trainer(base, store, longer).train(
        rows(), [], tmp_path / "work", lambda what, done, _: again.append((what, done))
    )
    assert min(done for what, done in again if "loss" in what) == int(str(ended_at)) + 1
    assert resumed.model == trainer(base, store, longer).train(rows(), [], tmp_path / "at once").model


def test_a_training_that_is_asked_to_end_after_its_last_step_ends_and_is_measured_again(
    in_process: TrainedModel, base: BaseModel, store: Path, tmp_path: Path
) -> None:
    stop, told = threading.Event(), list[tuple[str, int, int]]()

    def progress(what: str, done: int, total: int) -> None:
        told.append((what, done, total))
        if what == "forgetting":
            stop.set()

    token, longer = stopping.set(stop), parent_of_training.LongForgetting()
    try:
        with pytest.raises(TrainingInterrupted, match="while it was measured"):
            LoraTrainer(base, FolderArtifacts(store), SETTINGS, threads=1, fitting=longer).train(
                rows(), [], tmp_path, progress
            )
    finally:
        stopping.reset(token)
    assert "loss" in next(what for what, done, total in reversed(told) if what != "forgetting" and done == total)
    assert told[-1][0] == "forgetting"
    assert told[-1][1] < told[-1][2]
    again: list[tuple[str, int, int]] = []
    resumed = trainer(base, store).train(rows(), [], tmp_path, lambda *report: again.append(report))
    assert not [what for what, *_ in again if "loss" in what]  # no step is taken twice
    (last,) = {(done, total) for what, done, total in again if what == "forgetting" and done == total}
    assert last == (64, 64)
    assert resumed.model == in_process.model


@pytest.mark.parametrize(("when", "processes"), [("2", 1), ("2", 2), ("forgetting", 1)])
def test_a_training_ends_with_its_parent(
    base: BaseModel, store: Path, tmp_path: Path, when: str, processes: int
) -> None:
    before = training_processes()
    assert parent(base, store, tmp_path, when, processes).returncode == -signal.SIGKILL
    ends = time.monotonic() + 30
    while training_processes() - before and time.monotonic() < ends:
        time.sleep(0.05)
    assert not training_processes() - before
    assert not (tmp_path / "adapter").exists()  # it did not go on to its end
    assert list(tmp_path.glob("checkpoint-*"))


def training_processes() -> set[str]:
    found = subprocess.run(
        ["pgrep", "-f", "infra.adapters.training_child"], stdout=subprocess.PIPE, text=True, check=False
    )
    return set(found.stdout.split())


def test_an_error_in_the_child_comes_back_and_names_what_it_was(base: BaseModel, store: Path, tmp_path: Path) -> None:
    (tmp_path / "work").write_text("a file where the folder should be")
    with pytest.raises(TrainingFailed, match=r"NotADirectoryError|FileExistsError"):
        in_child(base, store).train(rows(1), [], tmp_path / "work")


def test_an_error_of_ratchets_tree_survives_the_pipe() -> None:
    back = ended(NotEnoughLabels("Too few: 3.", count=3)).as_error()
    assert isinstance(back, NotEnoughLabels)
    assert (back.message, back.values) == ("Too few: 3.", {"count": 3})


def test_any_other_error_becomes_a_failed_training_that_names_it() -> None:
    back = Ended("OutOfMemoryError", "CUDA out of memory").as_error()
    assert isinstance(back, TrainingFailed)
    assert "OutOfMemoryError: CUDA out of memory" in back.message


def test_an_interpreter_that_is_not_there_is_a_wrong_setting(base: BaseModel, store: Path, tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="RATCHET_TRAINING_PYTHON"):
        in_child(base, store, "/nowhere/python").train(rows(1), [], tmp_path)


def test_an_interpreter_without_ratchet_is_a_wrong_setting(base: BaseModel, tmp_path: Path) -> None:
    job_of = in_child(base, tmp_path, _script(tmp_path, "echo No module named infra >&2; exit 1"))
    with pytest.raises(BadSetting, match="No module named infra"):
        job_of.train(rows(1), [], tmp_path / "work")


def test_a_child_that_is_killed_is_an_interrupted_training(base: BaseModel, tmp_path: Path) -> None:
    killed = in_child(base, tmp_path, _script(tmp_path, """read job; echo '{"kind": "ready"}'; kill -9 $$"""))
    with pytest.raises(TrainingInterrupted) as raised:
        killed.train(rows(1), [], tmp_path / "work")
    assert raised.value.values["status"] == -signal.SIGKILL


def _script(folder: Path, does: str) -> str:
    """An interpreter that knows its versions, and does this when it is asked to train."""
    path = folder / "python"
    versions = json.dumps({"torch": "1", "transformers": "1", "peft": "1"})
    path.write_text(f"#!/bin/sh\nif [ $1 = -c ]; then echo '{versions}'; else {does}; fi\n")
    path.chmod(0o755)
    return str(path)
