"""DPO on the tiny model: what TRL learned is asked of the model as it is served."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import pytest
from killed_training import PROMPT, rows, trainer
from tiny_llama import tiny_base

from infra.adapters.adapter_proof import verify_adapter
from infra.adapters.base_models import BaseModel, load_base_model
from infra.adapters.folder_artifacts import FolderArtifacts
from infra.adapters.lora_packing import RowEncoder
from infra.adapters.lora_settings import LoraSettings
from infra.adapters.preference_settings import PreferenceSettings
from infra.adapters.preference_trainer import PreferenceTrainer
from infra.adapters.training_process import ChildPreferenceFitting
from tasks.core.answers import Passage
from tasks.core.errors import BadSetting, NotEnoughLabels, TrainingInterrupted
from tasks.core.ports import TrainedModel, TrainingRow
from tasks.core.preference_rows import PreferenceRow
from tasks.core.prompts import render
from tasks.documents import stopping

LORA = LoraSettings(rank=4, alpha=8)
SETTINGS = PreferenceSettings(epochs=4, pairs_per_step=2, learning_rate=1e-3, checkpoint_steps=2)
PAIRS, STEPS = 6, 12  # 4 × 6 / 2


def pairs(count: int = PAIRS) -> list[PreferenceRow]:
    made = []
    for n in range(count):
        shown = [Passage(1, f"{n}.md", f"c-{n}", f"Pump {n}\nPump {n} runs at {n} bar.", 0.0, 0.0)]
        prompt = render(PROMPT, shown, f"How fast is pump {n}?")
        made.append(PreferenceRow(f"p-{n}", prompt, f"Pump {n}: {n} bar. [1]", f"Well, I guess it is {n}! [1]"))
    return made


def preferring(
    base: BaseModel,
    store: Path,
    start: str | None = None,
    settings: PreferenceSettings = SETTINGS,
) -> PreferenceTrainer:
    fitting = ChildPreferenceFitting()  # what TRL warns of is not an error there
    return PreferenceTrainer(base, FolderArtifacts(store), start, settings, LORA, threads=1, fitting=fitting)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    return tiny_base(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("preferences")


@pytest.fixture(scope="module")
def learned(base: BaseModel, store: Path, workdir: Path) -> TrainedModel:
    return preferring(base, store).prefer(pairs(), pairs(2), workdir)


def margin(base: BaseModel, adapter: Path | None) -> float:
    """Nats by which the preferred answers are likelier than the others, as serving reads them: mean over the pairs."""
    import torch
    from peft import PeftModel

    loaded = load_base_model(base)
    model = PeftModel.from_pretrained(loaded.model, str(adapter)).eval() if adapter else loaded.model
    encoder, total = RowEncoder(loaded.tokenizer), 0.0
    for row in pairs():
        for sign, answer in ((1, row.chosen), (-1, row.rejected)):
            context, block = encoder.encode(TrainingRow(row.label_id, row.prompt, answer))
            tokens = torch.tensor([[*context, *block.question, *block.completion]])
            with torch.no_grad():
                likely = model(input_ids=tokens).logits[0].log_softmax(-1)
            said = range(tokens.shape[1] - len(block.completion), tokens.shape[1])
            total += sign * sum(float(likely[at - 1, tokens[0, at]]) for at in said)
    return total / PAIRS


def folder_of(model: TrainedModel, store: Path) -> Path:
    return FolderArtifacts(store).path(str(model.model.adapter))


def test_the_preferred_answers_become_likelier_against_the_others_as_served(
    learned: TrainedModel, base: BaseModel, store: Path, workdir: Path
) -> None:
    grown = margin(base, folder_of(learned, store)) - margin(base, None)
    told = [nats for _, nats in json.loads((workdir / "curves.json").read_text())["margin_nats"]]
    assert grown > 5
    assert told[0] == pytest.approx(0, abs=1e-3)  # the reference is where it began
    assert told[-1] == pytest.approx(grown, rel=0.5)  # TRL's number, of the last pairs before the last step


def test_an_adapter_of_preferences_passes_its_own_proof(learned: TrainedModel, base: BaseModel, store: Path) -> None:
    loaded = load_base_model(base)
    verify_adapter(folder_of(learned, store), loaded.model, loaded.tokenizer)
    config = json.loads((folder_of(learned, store) / "adapter_config.json").read_text())
    assert config["alora_invocation_tokens"] == list(RowEncoder(loaded.tokenizer).invocation)


def test_the_record_names_the_method_and_how_often_unseen_pairs_are_told_apart(learned: TrainedModel) -> None:
    assert learned.origin["method"] == "dpo"
    assert learned.origin["started_from"] is None
    assert "trl" in learned.origin["libraries"]  # type: ignore[operator]
    assert learned.metrics["steps"] == STEPS
    assert learned.metrics["validation_accuracy"] == 1.0
    assert learned.metrics["validation_margin_nats"] > 5
    assert "forgetting_nats_per_token" in learned.metrics
    assert len(learned.curves["training"]) == STEPS


def test_a_training_on_preferences_begins_with_the_tuned_adapter(base: BaseModel, store: Path, tmp_path: Path) -> None:
    tuned = trainer(base, store).train(rows(2), [], tmp_path / "rows")
    moved = preferring(base, store, tuned.model.adapter).prefer(pairs(), [], tmp_path / "moved")
    before, after = margin(base, folder_of(tuned, store)), margin(base, folder_of(moved, store))
    assert before != pytest.approx(margin(base, None), abs=0.01)
    assert after > before + 5
    told = moved.curves["margin_nats"]
    assert told[0][1] == pytest.approx(0, abs=1e-3)  # against the tuned adapter and not against the base
    assert told[-1][1] == pytest.approx(after - before, rel=0.5)
    assert moved.origin["started_from"] == tuned.model.adapter


def test_a_training_on_preferences_that_was_asked_to_end_goes_on_to_the_same_bits(
    learned: TrainedModel, base: BaseModel, store: Path, tmp_path: Path
) -> None:
    stop = threading.Event()

    def progress(_what: str, done: int, _total: int) -> None:
        if done == 3:
            stop.set()

    token = stopping.set(stop)
    try:
        with pytest.raises(TrainingInterrupted, match="at step"):
            preferring(base, store).prefer(pairs(), [], tmp_path, progress)
    finally:
        stopping.reset(token)
    assert list(tmp_path.glob("checkpoint-*"))
    again: list[int] = []
    resumed = preferring(base, store).prefer(pairs(), [], tmp_path, lambda _, done, __: again.append(done))
    assert min(step for step in again if step) > 3
    assert resumed.model == learned.model


def test_another_start_or_setting_is_another_training(base: BaseModel, store: Path) -> None:
    plain = preferring(base, store).fingerprint
    assert plain.startswith("dpo-")
    assert preferring(base, store, "sha256-0").fingerprint != plain
    assert preferring(base, store, None, SETTINGS.model_copy(update={"beta": 0.2})).fingerprint != plain
    assert preferring(base, store, None, SETTINGS.model_copy(update={"checkpoint_steps": 9})).fingerprint == plain


def test_no_pairs_is_said_before_anything_is_loaded(base: BaseModel, store: Path, tmp_path: Path) -> None:
    with pytest.raises(NotEnoughLabels):
        preferring(base, store).prefer([], [], tmp_path)


def test_without_trl_the_extra_is_named(base: BaseModel, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trl", None)
    with pytest.raises(BadSetting, match=r"ratchet\[preferences\]"):
        _ = preferring(base, store).fingerprint
