from __future__ import annotations

import contextlib
import hashlib
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from killed_training import SETTINGS, rows, trainer
from safetensors.torch import load_file

from infra.adapters.base_models import BaseModel
from infra.adapters.folder_artifacts import FolderArtifacts
from infra.adapters.lora_settings import FREE
from infra.adapters.lora_trainer import LoraTrainer
from infra.adapters.training_process import ChildFitting
from infra.adapters.training_ranks import ALONE, Ranks, require_ranks
from tasks.core.errors import BadSetting, TrainingInterrupted
from tasks.core.ports import TrainedModel
from tasks.core.releases import canonical_json
from tasks.documents import stopping

pytestmark = pytest.mark.long

ONE = SETTINGS.model_copy(update={"packs_per_step": 4, "epochs": 4, "validation_steps": 2})  # 4 × ceil(9 / 4)
TWO = ONE.model_copy(update={"processes": 2})  # and of the last pack of an epoch one of them has none
STEPS = 12
Act = Callable[[psutil.Process, psutil.Process, psutil.Process], object]  # on the launcher and its two ranks


@pytest.fixture(scope="module")
def reports() -> list[tuple[str, int, int]]:
    return []


@pytest.fixture(scope="module")
def by_two(
    base: BaseModel, store: Path, tmp_path_factory: pytest.TempPathFactory, reports: list[tuple[str, int, int]]
) -> TrainedModel:
    workdir = tmp_path_factory.mktemp("two")
    return of_two(base, store).train(rows(), rows(2), workdir, lambda *report: reports.append(report))


@pytest.fixture(scope="module", autouse=True)
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the jobs of these trainings lie, by which they are told from those of other tests."""
    before, tempfile.tempdir = tempfile.tempdir, str(tmp_path_factory.mktemp("jobs"))
    yield Path(tempfile.tempdir)
    tempfile.tempdir = before


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    yield
    assert not trained_in()


def of_two(base: BaseModel, store: Path) -> LoraTrainer:
    return LoraTrainer(base, FolderArtifacts(store), TWO, threads=1, fitting=ChildFitting())


def trained_in() -> list[psutil.Process]:
    """The launcher, and those that it started, oldest first: also when it is gone, for they hold its job's path."""
    found = [one for one in psutil.process_iter() if _is_ours(_command(one))]
    return sorted(found, key=lambda one: one.create_time())


def _is_ours(command: list[str]) -> bool:
    return command[-2:-1] == ["infra.adapters.training_child"] and command[-1].startswith(f"{tempfile.tempdir}/")


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_two_processes_make_the_adapter_that_one_makes(
    by_two: TrainedModel, base: BaseModel, store: Path, tmp_path: Path
) -> None:
    by_one = trainer(base, store, ONE).train(rows(), rows(2), tmp_path)
    one, two = (
        load_file(FolderArtifacts(store).path(str(made.model.adapter)) / "adapter_model.safetensors")
        for made in (by_one, by_two)
    )
    assert one.keys() == two.keys()
    assert all(weight.allclose(two[name], rtol=0, atol=1e-5) for name, weight in one.items())
    assert any(weight.abs().max() > 1e-3 for name, weight in one.items() if "lora_B" in name)  # it did learn
    assert by_two.metrics["loss"] == pytest.approx(by_one.metrics["loss"], abs=1e-5)
    assert by_two.curves["validation"] == [
        [step, pytest.approx(loss, abs=1e-5)] for step, loss in by_one.curves["validation"]
    ]


def test_one_of_them_reports_each_step_once(by_two: TrainedModel, reports: list[tuple[str, int, int]]) -> None:
    assert [(done, total) for what, done, total in reports if "loss" in what] == [
        (step, STEPS) for step in range(1, STEPS + 1)
    ]


def test_a_training_of_two_that_is_interrupted_again_and_again_goes_on_to_the_same_bits(
    by_two: TrainedModel, base: BaseModel, store: Path, tmp_path: Path
) -> None:
    """Each start goes on from the one before it, which spares the minutes of undisturbed ones."""

    def interrupted(act: Act) -> tuple[int, TrainingInterrupted]:
        meddling = Meddling(act)
        with pytest.raises(TrainingInterrupted) as ended_by:
            of_two(base, store).train(rows(), rows(2), tmp_path, meddling)
        assert not trained_in()
        return meddling.first_step, ended_by.value

    # A process that dies ends the others, and is named.
    _, lost = interrupted(lambda _launcher, _first, second: second.kill())
    assert re.search(r"(?s)rank +: 1 .*SIGKILL", str(lost))

    # One that was asked to end writes its checkpoint.
    stop = threading.Event()
    token = stopping.set(stop)
    try:
        _, asked = interrupted(lambda *_: stop.set())
    finally:
        stopping.reset(token)
    assert (tmp_path / f"checkpoint-{asked.values['step']}").is_dir()

    # A launcher that is ended takes its processes along, which write theirs.
    begun, _ = interrupted(lambda launcher, _first, _second: launcher.kill())
    assert begun == int(str(asked.values["step"])) + 1
    again: list[tuple[str, int]] = []
    resumed = of_two(base, store).train(rows(), rows(2), tmp_path, lambda what, done, _: again.append((what, done)))
    assert min(done for what, done in again if "loss" in what) > begun
    assert resumed.model == by_two.model


class Meddling:
    """A Progress that acts after the first step it hears of, on the launcher and the two ranks, which stand still."""

    def __init__(self, act: Act) -> None:
        self._act = act
        self.first_step = 0
        self._processes: list[psutil.Process] = []

    def __call__(self, what: str, done: int, total: int) -> None:
        if not self._processes:
            launcher, *ranks = trained_in()
            self._processes = [launcher, *sorted(ranks, key=lambda one: one.environ()["RANK"])]
        elif "loss" in what and not self.first_step:
            self.first_step = done
            launcher, first, second = self._processes
            first.suspend()
            second.suspend()
            self._act(launcher, first, second)
            time.sleep(1)  # what they are told meanwhile they hear before they have gone many steps
            for one in (first, second):
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.resume()


def test_two_processes_are_another_training_and_one_is_the_training_it_was(base: BaseModel, store: Path) -> None:
    one, two = trainer(base, store, ONE), trainer(base, store, TWO)
    assert one.fingerprint != two.fingerprint
    told = [base.digest, ONE.model_dump(exclude={*FREE, "processes", "use_dora"}), dict(ChildFitting().versions())]
    assert one.fingerprint == f"lora-{hashlib.sha256(canonical_json(told).encode()).hexdigest()[:16]}"


def test_every_pack_of_a_step_is_one_processs(base: BaseModel) -> None:
    packs = list(range(7))
    shares = [Ranks(rank, 3).share(packs) for rank in range(3)]
    assert sorted(pack for share in shares for pack in share) == packs
    assert ALONE.share(packs) == packs


@pytest.mark.parametrize("name", ["WORLD_SIZE", "OMPI_COMM_WORLD_SIZE"])
def test_several_processes_of_a_launcher_of_somebody_else_are_refused(name: str) -> None:
    with pytest.raises(BadSetting, match=f"{name}=2"):
        require_ranks(ALONE, 1, {name: "2"})


def test_a_launcher_of_one_process_is_not_in_the_way() -> None:
    def refused(size: str) -> bool:
        try:
            require_ranks(ALONE, 1, {"WORLD_SIZE": size} if size else {})
        except BadSetting:
            return True
        return False

    assert [refused(size) for size in ("", "1", "2")] == [False, False, True]


def test_a_training_under_torchrun_by_hand_is_refused_by_name(
    base: BaseModel, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    by_hand = LoraTrainer(base, FolderArtifacts(store), SETTINGS, threads=1, fitting=ChildFitting())
    with pytest.raises(BadSetting, match="WORLD_SIZE=2"):
        by_hand.train(rows(1), [], tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_several_processes_in_the_process_that_asks_are_refused(base: BaseModel, store: Path, tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="RATCHET_LORA__PROCESSES=2"):
        trainer(base, store, TWO).train(rows(1), [], tmp_path)


def test_more_processes_than_packs_in_a_step_are_refused(base: BaseModel, store: Path, tmp_path: Path) -> None:
    many = LoraTrainer(
        base,
        FolderArtifacts(store),
        TWO.model_copy(update={"packs_per_step": 1}),
        threads=1,
        fitting=ChildFitting(),
    )
    with pytest.raises(BadSetting, match="RATCHET_LORA__PACKS_PER_STEP to 2"):
        many.train(rows(1), [], tmp_path)
