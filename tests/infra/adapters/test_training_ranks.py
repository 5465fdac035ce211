from __future__ import annotations

from pathlib import Path

import pytest
from killed_training import SETTINGS, rows
from tiny_llama import tiny_base

from infra.adapters.folder_artifacts import FolderArtifacts
from infra.adapters.lora_trainer import LoraTrainer
from infra.adapters.training_process import ChildFitting
from infra.adapters.training_ranks import require_alone
from tasks.core.errors import BadSetting


@pytest.mark.parametrize("name", ["WORLD_SIZE", "OMPI_COMM_WORLD_SIZE"])
def test_several_processes_of_a_launcher_of_somebody_else_are_refused(name: str) -> None:
    with pytest.raises(BadSetting, match=f"{name}=2"):
        require_alone({name: "2"})


def test_a_launcher_of_one_process_is_not_in_the_way() -> None:
    require_alone({"WORLD_SIZE": "1"})
    require_alone({})


def test_a_training_under_torchrun_by_hand_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    by_hand = LoraTrainer(
        tiny_base(tmp_path), FolderArtifacts(tmp_path / "store"), SETTINGS, threads=1, fitting=ChildFitting()
    )
    with pytest.raises(BadSetting, match="WORLD_SIZE=2"):
        by_hand.train(rows(1), [], tmp_path / "work")
    assert not (tmp_path / "work").exists()
