"""DPO on the tiny model: what TRL learned is asked of the model as it is served."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import killed_preferences
import pytest
from killed_preferences import LORA, PAIRS, SETTINGS, STEPS, pairs, preferring, ratings
from killed_training import SETTINGS as OF_ROWS
from killed_training import rows, trainer

from infra.adapters.adapter_proof import verify_adapter
from infra.adapters.base_models import BaseModel, load_base_model
from infra.adapters.folder_artifacts import FolderArtifacts
from infra.adapters.lora_packing import RowEncoder
from infra.adapters.preference_trainer import PreferenceJob, PreferenceTrainer
from tasks.core.errors import BadSetting, NotEnoughLabels, TrainingInterrupted
from tasks.core.ports import TrainedModel, TrainingRow
from tasks.core.taught_rows import TaughtRow
from tasks.documents import stopping

pytestmark = pytest.mark.filterwarnings("ignore")  # TRL and what it stands on warn of each other


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


def test_pairs_are_read_one_at_a_time_and_weigh_alike_in_their_step(
    learned: TrainedModel, base: BaseModel, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from infra.adapters.preference_examples import EncodedDPO

    read: list[int] = []
    compute = EncodedDPO._compute_loss

    def counted(self: EncodedDPO, model: object, inputs: dict[str, Any], return_outputs: bool = False) -> object:
        read.append(len(inputs["input_ids"]))
        return compute(self, model, inputs, return_outputs)

    monkeypatch.setattr(EncodedDPO, "_compute_loss", counted)
    again = preferring(base, store).prefer(pairs(), [], tmp_path / "by one")
    assert set(read) == {2}  # the preferred answer and the other: memory does not grow with a step
    monkeypatch.setattr(PreferenceJob, "rows_at_once", PreferenceJob.rows_per_step)
    at_once = preferring(base, store).prefer(pairs(), [], tmp_path / "at once")
    assert max(read) == 2 * SETTINGS.pairs_per_step
    assert again.curves["training"] == learned.curves["training"]
    losses = [loss for _, loss in again.curves["training"]]
    assert losses == pytest.approx([loss for _, loss in at_once.curves["training"]], rel=0.02)


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


@pytest.mark.long
@pytest.mark.parametrize("use_dora", [False, True])
def test_a_training_on_preferences_begins_with_the_tuned_adapter_and_stays_of_its_kind(
    use_dora: bool, base: BaseModel, store: Path, tmp_path: Path
) -> None:
    of_rows = OF_ROWS.model_copy(update={"use_dora": use_dora, "epochs": 4, "forgetting": False})
    tuned = trainer(base, store, of_rows).train(rows(2), [], tmp_path / "rows")
    moved = preferring(base, store, tuned.model.adapter).prefer(pairs(), [], tmp_path / "moved")
    before, after = margin(base, folder_of(tuned, store)), margin(base, folder_of(moved, store))
    assert before != pytest.approx(margin(base, None), abs=0.01)
    assert after > before + 5
    told = moved.curves["margin_nats"]
    assert told[0][1] == pytest.approx(0, abs=1e-3)  # against the tuned adapter and not against the base
    assert told[-1][1] == pytest.approx(after - before, rel=0.5)
    assert moved.origin["started_from"] == tuned.model.adapter
    config = json.loads((folder_of(moved, store) / "adapter_config.json").read_text())
    assert (config["use_dora"], config["alora_invocation_tokens"] is None) == (use_dora, use_dora)


@pytest.mark.long
def test_a_training_on_preferences_that_was_killed_goes_on_to_the_same_bits(
    learned: TrainedModel, base: BaseModel, store: Path, tmp_path: Path
) -> None:
    words = [str(base.folder), str(base.folder.parent / "home"), str(store), str(tmp_path), "5"]
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    killed = subprocess.run([sys.executable, killed_preferences.__file__, *words], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "checkpoint-4").is_dir()
    seen: list[tuple[str, int]] = []
    resumed = preferring(base, store).prefer(pairs(), [], tmp_path, lambda what, done, _: seen.append((what, done)))
    assert min(done for what, done in seen if "loss" in what) == 5
    assert resumed.model == learned.model


def test_a_training_on_preferences_that_is_asked_to_end_leaves_a_checkpoint(
    base: BaseModel, store: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingInterrupted, match="at step 3 of 12"):
        asked_to_end(preferring(base, store), pairs(), tmp_path)
    assert (tmp_path / "checkpoint-3" / "trainer_state.json").exists()


def asked_to_end(trainer: PreferenceTrainer, rows: Sequence[TaughtRow], workdir: Path) -> None:
    """After its second step."""
    stop = threading.Event()
    token = stopping.set(stop)
    try:
        trainer.prefer(rows, [], workdir, lambda _, done, __: done == 2 and stop.set())  # type: ignore[arg-type, return-value, func-returns-value]
    finally:
        stopping.reset(token)


@pytest.mark.long
def test_ratings_make_good_answers_likelier_against_bad_ones_and_go_on_to_the_same_bits(
    base: BaseModel, store: Path, tmp_path: Path
) -> None:
    rating = preferring(base, store, method="kto")
    learned = rating.prefer(ratings(), ratings()[4:8], tmp_path / "whole")
    assert margin(base, folder_of(learned, store)) > margin(base, None) + 5
    assert learned.metrics["steps"] == 4 * 3  # 10 answers, 4 a step
    assert learned.metrics["validation_margin_nats"] > 5  # of two good answers against two bad ones
    assert str(learned.origin["trainer"]).startswith("kto-")
    with pytest.raises(TrainingInterrupted):
        asked_to_end(rating, ratings(), tmp_path / "ended")
    assert rating.prefer(ratings(), [], tmp_path / "ended").model == learned.model


def test_another_start_or_setting_is_another_training(base: BaseModel, store: Path) -> None:
    plain = preferring(base, store).fingerprint
    assert plain.startswith("dpo-")
    assert preferring(base, store, "sha256-0").fingerprint != plain
    assert preferring(base, store, None, SETTINGS.model_copy(update={"beta": 0.2})).fingerprint != plain
    assert preferring(base, store, None, SETTINGS.model_copy(update={"checkpoint_steps": 9})).fingerprint == plain


def test_no_pairs_is_said_before_anything_is_loaded(base: BaseModel, store: Path, tmp_path: Path) -> None:
    with pytest.raises(NotEnoughLabels):
        preferring(base, store).prefer([], [], tmp_path)


@pytest.mark.parametrize("only_for_labels", [{"quantized": "nf4"}, {"gradient_checkpointing": True}, {"processes": 2}])
def test_what_only_labels_are_trained_with_is_refused_by_name(
    only_for_labels: dict[str, object], base: BaseModel, store: Path, tmp_path: Path
) -> None:
    [name] = only_for_labels
    wanting = preferring(base, store, lora=LORA.model_copy(update=only_for_labels))
    with pytest.raises(BadSetting, match=f"RATCHET_LORA__{name.upper()}"):
        wanting.prefer(pairs(), [], tmp_path)


def test_without_trl_the_extra_is_named(base: BaseModel, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trl", None)
    with pytest.raises(BadSetting, match=r"ratchet\[preferences\]"):
        _ = preferring(base, store).fingerprint
