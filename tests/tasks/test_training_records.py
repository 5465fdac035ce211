from __future__ import annotations

import json
from pathlib import Path

from infra.adapters.folder_artifacts import FolderArtifacts
from tasks.core.ports import TrainedModel
from tasks.core.releases import ModelRef
from tasks.training_records import CURVES, MANIFEST, curve_table, keep_record

MODEL = ModelRef(kind="lora", base="tiny", base_digest="sha256-b", adapter="sha256-a")


def test_a_record_names_base_dataset_settings_versions_and_metrics(tmp_path: Path) -> None:
    curves = {"training": [(1, 2.0), (2, 1.0)], "validation": [(2, 1.5)]}
    made = TrainedModel(MODEL, {"loss": 1.5}, 3.0, {"settings": {"rank": 4}, "code": "1.0"}, curves)
    store = FolderArtifacts(tmp_path)
    folder = store.path(keep_record(store, made, "00ff"))
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["model"]["base_digest"] == "sha256-b"
    assert (manifest["dataset"], manifest["metrics"]) == ("00ff", {"loss": 1.5})
    assert (manifest["settings"], manifest["code"]) == ({"rank": 4}, "1.0")
    assert json.loads((folder / CURVES).read_text())["training"] == [[1, 2.0], [2, 1.0]]


def test_the_table_shows_some_steps_and_every_look_at_the_validation_loss() -> None:
    training = [(step, 1.0) for step in range(1, 101)]
    shown = curve_table({"training": training, "validation": [(7, 0.5)]}, rows=10)
    assert [line.split("|")[1].strip() for line in shown.splitlines()[2:]] == [
        "7", *(str(step) for step in range(10, 101, 10))
    ]  # fmt: skip
    assert "| 7 | 1.000 | 0.500 |" in shown
