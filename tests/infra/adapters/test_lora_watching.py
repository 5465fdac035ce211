from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from killed_training import SETTINGS, rows, trainer

from infra.adapters.base_models import BaseModel
from infra.adapters.lora_settings import LoraSettings
from tasks.core.errors import BadSetting, LossDiverged, TrainingInterrupted
from tasks.documents import stopping


def with_settings(**change: object) -> LoraSettings:
    return SETTINGS.model_copy(update=change)


def test_a_loss_that_explodes_ends_the_training_and_leaves_no_adapter(base: BaseModel, tmp_path: Path) -> None:
    settings = with_settings(learning_rate=1e30, max_grad_norm=1e30)
    with pytest.raises(LossDiverged, match="RATCHET_LORA__LEARNING_RATE") as raised:
        trainer(base, tmp_path / "store", settings).train(rows(), [], tmp_path / "work")
    assert 2 <= int(str(raised.value.values["step"])) <= 10
    assert not (tmp_path / "work" / "adapter").exists()


def test_a_training_that_gets_no_better_ends_early_with_its_best_adapter(base: BaseModel, tmp_path: Path) -> None:
    """At a rate this high the loss is soon worse than it was."""
    settings = with_settings(validation_steps=1, patience=2, epochs=4, learning_rate=0.3)
    made = trainer(base, tmp_path / "store", settings).train(rows(), rows(2), tmp_path / "work")
    looks = json.loads((tmp_path / "work" / "validation.json").read_text())
    best = min(loss for _, loss in looks)
    assert made.metrics["validation_loss"] == pytest.approx(best, rel=1e-4)  # of the adapter that was kept
    assert made.metrics["steps"] < 20
    assert [loss for _, loss in looks].index(best) == len(looks) - 3  # two looks that found no better one


def test_early_stopping_resumes_to_the_same_adapter(base: BaseModel, tmp_path: Path) -> None:
    settings = with_settings(validation_steps=2)
    one = trainer(base, tmp_path / "store", settings)
    whole = one.train(rows(), rows(2), tmp_path / "whole")
    token = stopping.set(stop := threading.Event())
    try:
        with pytest.raises(TrainingInterrupted):
            one.train(rows(), rows(2), tmp_path / "cut", at_step(5, stop.set))
    finally:
        stopping.reset(token)
    assert one.train(rows(), rows(2), tmp_path / "cut").model == whole.model


def at_step(step: int, do: Callable[[], None]) -> Callable[[str, int, int], None]:
    return lambda _what, done, _total: do() if done == step else None


def test_the_curves_of_a_training_hold_every_step(base: BaseModel, tmp_path: Path) -> None:
    made = trainer(base, tmp_path / "store").train(rows(), rows(2), tmp_path / "work")
    curves = json.loads((tmp_path / "work" / "curves.json").read_text())
    assert [step for step, _ in curves["training"]] == list(range(1, 11))
    assert curves["validation"] == [[10, made.metrics["validation_loss"]]]


def test_rank_stabilised_scaling_makes_another_adapter(base: BaseModel, tmp_path: Path) -> None:
    made = [
        trainer(base, tmp_path / "store", with_settings(rslora=chosen)).train(rows(3), [], tmp_path / str(chosen)).model
        for chosen in (False, True)
    ]
    assert made[0] != made[1]


@pytest.mark.parametrize(
    ("change", "name"),
    [({"quantized": "nf4"}, "QUANTIZED=nf4 .* not here: a CUDA GPU"), ({"report_to": "wandb"}, "REPORT_TO=wandb")],
)
def test_what_this_machine_cannot_do_is_refused_before_anything_is_loaded(
    base: BaseModel, tmp_path: Path, change: dict[str, object], name: str
) -> None:
    import importlib.util

    import torch

    if torch.cuda.is_available() or importlib.util.find_spec("wandb"):
        pytest.skip("this machine can")
    with pytest.raises(BadSetting, match=name):
        trainer(base, tmp_path / "store", with_settings(**change)).train(rows(1), [], tmp_path / "work")
