"""`ratchet train --method dpo` on an assistant whose base model is a tiny random llama."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from flows.cli import ratchet


def told(*words: object) -> dict[str, object]:
    result = CliRunner().invoke(ratchet, [*map(str, words), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)  # type: ignore[no-any-return]


def test_preferences_train_a_candidate_with_its_lineage(home: Path, docs: Path, tmp_path: Path) -> None:
    told("ingest", docs)
    file = tmp_path / "preferences.jsonl"
    pairs = [
        ("How much water does the bilge pump move?", "It moves 90 litres.", "pump.md"),
        ("How tall is the light mast?", "It stands 9 metres tall.", "mast.md"),
    ]
    rows = [{"question": q, "chosen": a, "rejected": "Plenty, mate!", "documents": [d]} for q, a, d in pairs]
    # Whether there will ever be a golden set is open until labels came, and preferences wait as long.
    label = {"question": "Who keeps the log?", "answer": "The mate.", "documents": ["mast.md"], "split": "train"}
    file.write_text("\n".join(json.dumps(row) for row in (*rows, label)))
    told("labels", "import", file)
    few = told("train", "--method", "dpo")
    assert few["trained"] is False
    assert "50 are asked for" in str(few["reason"])
    made = told("train", "--method", "dpo", "--force")
    assert (made["method"], made["trained"]) == ("dpo", True), made
    assert "beginning with the base" in str(made["method_reason"])
    models = told("models")["models"]
    [lineage] = [one["lineage"] for one in models if one["model"] == made["model"]]  # type: ignore[union-attr, attr-defined]
    assert lineage["method"] == "dpo"
    assert str(lineage["trainer"]).startswith("dpo-")
    exported = tmp_path / "pairs.jsonl"
    told("labels", "export", "--model", made["model"], exported)
    kept = [json.loads(line) for line in exported.read_text().splitlines()]
    assert {row["rejected"].partition(" [")[0] for row in kept} == {"Plenty, mate!"}
    assert len(kept) == made["examples"] > 0
