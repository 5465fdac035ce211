"""`ratchet train --method dpo` on an assistant whose base model is a tiny random llama, as far as the verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from flows.cli import ratchet
from flows.retrain_model import waiting_model
from infra.workbench import open_workbench

pytestmark = pytest.mark.long

PAIRS = [
    ("How much water does the bilge pump move?", "It moves 90 litres.", "pump.md"),
    ("How tall is the light mast?", "It stands 9 metres tall.", "mast.md"),
]


def told(*words: object, status: tuple[int, ...] = (0,)) -> dict[str, Any]:
    result = CliRunner().invoke(ratchet, [*map(str, words), "--json"], catch_exceptions=False)
    assert result.exit_code in status, result.output
    return json.loads(result.stdout)  # type: ignore[no-any-return]


def write(file: Path) -> Path:
    rows = [{"question": q, "chosen": a, "rejected": "Plenty, mate!", "documents": [d]} for q, a, d in PAIRS]
    rated = {"question": PAIRS[1][0], "answer": PAIRS[1][1], "documents": ["mast.md"], "label": True}
    golden = {"question": "How wide is the saw's blade?", "answer": "It is 27 millimetres wide."}
    lines = [*rows, rated, golden | {"documents": ["saw.md"], "split": "golden"}]
    file.write_text("\n".join(map(json.dumps, lines)))
    return file


def test_preferences_train_a_candidate_that_the_gates_judge(home: Path, docs: Path, tmp_path: Path) -> None:
    told("ingest", docs)
    told("labels", "import", write(tmp_path / "preferences.jsonl"))
    few = told("train", "--method", "dpo")
    assert few["trained"] is False
    assert "50 are asked for" in few["reason"]
    assert "1 new ratings of 1 accepted ones, and 50 are asked for" in told("train", "--method", "kto")["reason"]
    made = told("train", "--method", "dpo", "--force")
    assert (made["method"], made["trained"]) == ("dpo", True), made
    assert "beginning with the base" in made["method_reason"]
    bench = open_workbench("default")
    assert (waiting_model(bench, "dpo"), waiting_model(bench, "lora")) == (True, False)

    [lineage] = [one["lineage"] for one in told("models")["models"] if one["model"] == made["model"]]
    assert (lineage["method"], lineage["started_from"]) == ("dpo", None)
    assert lineage["trainer"].startswith("dpo-")
    exported = tmp_path / "pairs.jsonl"
    told("labels", "export", "--model", made["model"], exported)
    kept = [json.loads(line) for line in exported.read_text().splitlines()]
    assert {row["rejected"].partition(" [")[0] for row in kept} == {"Plenty, mate!"}
    assert len(kept) == made["examples"] == len(PAIRS)

    told("evaluate", made["release"], status=(3, 4))  # a random model knows nothing
    judged = bench.evaluations.latest("default", made["release"])
    assert judged is not None
    gates = {gate.name: gate.outcome for gate in judged.gates}
    assert (gates["intact"], gates["no-leak"]) == ("pass", "pass")
    assert not waiting_model(bench, "dpo")
    again = told("train", "--method", "dpo")
    assert (again["trained"], "0 new preferences of 2" in again["reason"]) == (False, True)
