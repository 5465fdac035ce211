"""Trainings by DPO and KTO on an assistant whose base model is a tiny random llama, as far as the verdict."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from flows.cli import ratchet
from flows.retrain_model import left_unjudged
from infra.adapters.catalog.feedback import CatalogFeedback
from infra.workbench import open_workbench
from tasks.core.feedback import Feedback, Response

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
    assert left_unjudged(bench, "dpo")
    assert not left_unjudged(bench, "lora")

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
    assert not left_unjudged(bench, "dpo")
    again = told("train", "--method", "dpo")
    assert (again["trained"], "0 new preferences of 2" in again["reason"]) == (False, True)


def test_ratings_and_accepted_feedback_train_a_candidate_that_the_gates_judge(
    home: Path, docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told("ingest", docs)
    rated = [
        {"question": q, "answer": answer, "documents": [d], "label": good, "contributor": "ann"}
        for q, a, d in PAIRS
        for answer, good in ((a, True), *((f"Plenty, mate {n}!", False) for n in range(6)))
    ]
    golden = {"question": "How wide is the saw's blade?", "answer": "It is 27 millimetres wide."}
    file = tmp_path / "ratings.jsonl"
    file.write_text("\n".join(map(json.dumps, [*rated, golden | {"documents": ["saw.md"], "split": "golden"}])))
    told("labels", "import", file)
    bench = open_workbench("default")
    desk = CatalogFeedback(bench.engine)
    desk.remember(Response("chatcmpl-1", "default", "r-1", 1, "rag", PAIRS[1][0], f"{PAIRS[1][1]} [1]", ("mast.md",)))
    thumb = desk.take(Feedback("chatcmpl-1", "boolean", True, "bob")).became
    desk.take(Feedback("chatcmpl-1", "boolean", False, "cyd"))  # never reviewed: nothing is trained on it

    told("labels", "review", "--accept", thumb)
    monkeypatch.setenv("RATCHET_MAX_SHARE_PER_CONTRIBUTOR", "0.5")
    made = told("train", "--method", "kto", "--force")
    assert (made["method"], made["trained"], made["examples"]) == ("kto", True, 11), made
    assert "Left out: 4 of ann" in made["reason"]  # ten may anybody give
    assert re.search(
        r"beginning with the base\. 11 of 11 accepted ratings .* are good and \d+ bad", made["method_reason"]
    )
    assert left_unjudged(bench, "kto")
    assert (left_unjudged(bench, "dpo"), left_unjudged(bench)) == (None, None)

    [lineage] = [one["lineage"] for one in told("models")["models"] if one["model"] == made["model"]]
    assert (lineage["method"], lineage["started_from"], lineage["labels"]) == ("kto", None, 11)
    assert lineage["trainer"].startswith("kto-")
    exported = tmp_path / "rows.jsonl"
    told("labels", "export", "--model", made["model"], exported)
    rows = [json.loads(line) for line in exported.read_text().splitlines()]
    assert {(row["completion"].startswith("Plenty"), row["good"]) for row in rows} == {(True, False), (False, True)}
    assert thumb in {row["label"] for row in rows}

    told("evaluate", made["release"], status=(3, 4))  # a random model knows nothing
    judged = bench.evaluations.latest("default", made["release"])
    assert judged is not None
    gates = {gate.name: gate.outcome for gate in judged.gates}
    assert (gates["intact"], gates["no-leak"]) == ("pass", "pass")
    assert not left_unjudged(bench, "kto")
    again = told("train", "--method", "kto")
    assert (again["trained"], "0 new ratings of 11" in again["reason"]) == (False, True)
