from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import killed_training
import pytest
from killed_training import PROMPT, SETTINGS, rows, trainer

from infra.adapters.adapter_proof import verify_adapter
from infra.adapters.artifact_files import LIST
from infra.adapters.base_models import BaseModel, load_base_model
from infra.adapters.folder_artifacts import FolderArtifacts
from infra.adapters.transformers_chat import TransformersChat
from tasks.core.errors import NotEnoughLabels
from tasks.core.ports import TrainedModel

STEPS = 10


@pytest.fixture(scope="module")
def reports() -> list[tuple[str, int, int]]:
    return []


@pytest.fixture(scope="module")
def undisturbed(
    base: BaseModel, store: Path, tmp_path_factory: pytest.TempPathFactory, reports: list[tuple[str, int, int]]
) -> TrainedModel:
    workdir = tmp_path_factory.mktemp("undisturbed")
    return trainer(base, store).train(rows(), rows(2), workdir, lambda *report: reports.append(report))


@pytest.fixture(scope="module")
def killed(base: BaseModel, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that SIGKILL ended after its fifth step."""
    workdir = tmp_path_factory.mktemp("killed")
    assert killed_after(5, base, store, workdir) == -signal.SIGKILL
    return workdir


def killed_after(steps: int, base: BaseModel, store: Path, workdir: Path) -> int:
    """The exit status of a training in a process of its own."""
    home = base.folder.parent / "home"
    arguments = [str(base.folder), str(home), str(store), str(workdir), str(steps)]
    paths = os.pathsep.join(path for path in sys.path if path)
    return subprocess.run(
        [sys.executable, killed_training.__file__, *arguments],
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        check=False,
    ).returncode


def test_the_model_is_named_by_its_base_and_its_adapters_digest(undisturbed: TrainedModel, base: BaseModel) -> None:
    assert undisturbed.model.kind == "lora"
    assert undisturbed.model.base_digest == base.digest
    assert str(undisturbed.model.adapter).startswith("sha256-")


def test_the_artifact_holds_safetensors_and_json_only(undisturbed: TrainedModel, store: Path) -> None:
    names = {file.name for file in FolderArtifacts(store).path(str(undisturbed.model.adapter)).iterdir()}
    assert names == {"adapter_model.safetensors", "adapter_config.json", "proof.json", LIST}


def test_a_fresh_adapter_passes_its_own_proof(undisturbed: TrainedModel, base: BaseModel, store: Path) -> None:
    loaded, folder = load_base_model(base), FolderArtifacts(store).path(str(undisturbed.model.adapter))
    before = {name: weight.clone() for name, weight in loaded.model.state_dict().items()}
    verify_adapter(folder, loaded.model, loaded.tokenizer)
    after = loaded.model.state_dict()
    assert before.keys() == after.keys()
    assert all(weight.equal(after[name]) for name, weight in before.items())  # and the base is as it was


def test_no_path_of_this_machine_is_in_the_artifact(undisturbed: TrainedModel, base: BaseModel, store: Path) -> None:
    folder = FolderArtifacts(store).path(str(undisturbed.model.adapter))
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == base.name
    assert str(store) not in (folder / "proof.json").read_text()


def test_training_lowers_the_loss_and_reports_every_step(
    undisturbed: TrainedModel, reports: list[tuple[str, int, int]]
) -> None:
    steps = [(done, total) for what, done, total in reports if "loss" in what]
    assert steps == [(n, STEPS) for n in range(1, STEPS + 1)]
    told = [what for what, *_ in reports if "loss" in what]
    assert "tokens/s" in told[-1]
    assert told[-1].endswith(" s left")  # so the terminal adds no estimate of its own
    assert undisturbed.metrics["validation_loss"] > 0
    first, last = (float(told[at].split("loss ")[1].split(",")[0]) for at in (0, -1))
    assert last < first


def test_the_same_rows_and_seed_give_the_same_adapter(
    undisturbed: TrainedModel, base: BaseModel, store: Path, tmp_path: Path
) -> None:
    assert trainer(base, store).train(rows(), [], tmp_path).model == undisturbed.model


@pytest.mark.parametrize("change", [{"seed": 1}, {"learning_rate": 2e-3}, {"rank": 2}, {"use_dora": True}])
def test_another_setting_gives_another_fingerprint(base: BaseModel, store: Path, change: dict[str, float]) -> None:
    other = SETTINGS.model_copy(update=change)
    assert trainer(base, store, other).fingerprint != trainer(base, store).fingerprint


def test_how_often_checkpoints_are_written_is_not_in_the_fingerprint(base: BaseModel, store: Path) -> None:
    assert (
        trainer(base, store, SETTINGS.model_copy(update={"checkpoint_steps": 7})).fingerprint
        == trainer(base, store).fingerprint
    )


def test_layers_that_are_computed_again_give_the_same_adapter_to_the_bit(
    undisturbed: TrainedModel, base: BaseModel, store: Path, tmp_path: Path
) -> None:
    again = trainer(base, store, SETTINGS.model_copy(update={"gradient_checkpointing": True}))
    assert again.train(rows(), rows(2), tmp_path).model == undisturbed.model
    assert again.fingerprint == trainer(base, store).fingerprint


def test_a_training_killed_between_checkpoints_resumes_to_the_same_bits(
    undisturbed: TrainedModel, base: BaseModel, store: Path, killed: Path, tmp_path: Path
) -> None:
    workdir = Path(shutil.copytree(killed, tmp_path / "work"))
    assert sorted(folder.name for folder in workdir.glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-4"]
    seen: list[tuple[str, int]] = []
    resumed = trainer(base, store).train(rows(), [], workdir, lambda what, done, _: seen.append((what, done)))
    assert resumed.model == undisturbed.model
    assert min(done for what, done in seen if "loss" in what) == 5


def test_a_checkpoint_that_a_kill_cut_short_is_not_resumed_from(
    undisturbed: TrainedModel, base: BaseModel, store: Path, killed: Path, tmp_path: Path
) -> None:
    workdir = Path(shutil.copytree(killed, tmp_path / "work"))
    state = workdir / "checkpoint-4" / "trainer_state.json"
    state.write_text(state.read_text()[:100])
    assert trainer(base, store).train(rows(), [], workdir).model == undisturbed.model


def test_checkpoints_of_other_rows_are_not_resumed_from(base: BaseModel, store: Path, tmp_path: Path) -> None:
    trainer(base, store).train(rows(), [], tmp_path / "shared")
    reused = trainer(base, store).train(rows(6), [], tmp_path / "shared")
    assert reused.model == trainer(base, store).train(rows(6), [], tmp_path / "fresh").model


def test_what_was_trained_is_what_is_served(undisturbed: TrainedModel, base: BaseModel, store: Path) -> None:
    """The tiny model learns nothing sensible, but served it must differ from its base."""
    chat = TransformersChat(base, FolderArtifacts(store))
    asked = [row.prompt for row in rows(3)]
    tuned, plain = (chat.open(ref).complete(asked, max_new_tokens=8) for ref in (undisturbed.model, chat.base()))
    assert [one.text for one in tuned] != [one.text for one in plain]


def test_no_rows_is_said_before_anything_is_loaded(base: BaseModel, store: Path, tmp_path: Path) -> None:
    with pytest.raises(NotEnoughLabels):
        trainer(base, store).train([], [], tmp_path)


def test_nothing_is_printed_to_standard_output(
    base: BaseModel, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer(base, store).train(rows(3), [], tmp_path)
    assert capsys.readouterr().out == ""


def test_the_rows_of_these_tests_are_half_abstentions() -> None:
    assert sum(row.completion == PROMPT.abstention for row in rows()) == len(rows()) / 2
