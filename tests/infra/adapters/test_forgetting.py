"""What a training makes a model worse at is measured on exchanges that no training row is made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from killed_training import SETTINGS, rows, trainer
from tiny_llama import LINEAR

from infra.adapters.base_models import BaseModel, LoadedBase, load_base_model
from infra.adapters.chat_template import ChatTemplate
from infra.adapters.forgetting import FORGETTING, forgotten
from infra.adapters.general_exchanges import FILE, general_digest, general_rows
from infra.adapters.lora_packing import RowEncoder
from tasks.core.metrics.matching import MARKER, sentences
from tasks.core.prompts import INVOCATION

LIKE = rows(1)[0]
GENERAL = general_rows(LIKE)


def adapted(base: BaseModel, *, spread: float) -> tuple[Any, LoadedBase]:
    """A model with an adapter whose second matrices are so far from zero."""
    from peft import LoraConfig, get_peft_model

    loaded = load_base_model(base)
    torch.manual_seed(1)
    model = get_peft_model(
        loaded.model, LoraConfig(r=4, lora_alpha=8, target_modules=LINEAR, task_type="CAUSAL_LM")
    ).eval()
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=spread)
    return model, loaded


def test_an_adapter_that_learnt_nothing_forgot_nothing(base: BaseModel) -> None:
    model, loaded = adapted(base, spread=0.0)
    assert forgotten(model, GENERAL[:4], RowEncoder(loaded.tokenizer))[FORGETTING] == 0.0


def test_it_is_the_loss_of_the_answers_words_read_one_by_one_without_packing(base: BaseModel) -> None:
    model, loaded = adapted(base, spread=0.5)
    found = forgotten(model, GENERAL[:4], RowEncoder(loaded.tokenizer))
    with model.disable_adapter():
        by_base = one_by_one(model, loaded, GENERAL[:4])
    assert found["general_nats_per_token"] - found[FORGETTING] == pytest.approx(by_base, rel=1e-4)
    assert abs(found[FORGETTING]) > 0.01  # the adapter was active


def test_of_an_adapter_that_is_active_everywhere_it_is_that_of_whole_rows(base: BaseModel) -> None:
    model, loaded = adapted(base, spread=0.5)
    found = forgotten(model, GENERAL[:4], RowEncoder(loaded.tokenizer), whole=True)
    assert found["general_nats_per_token"] == pytest.approx(one_by_one(model, loaded, GENERAL[:4]), rel=1e-4)
    with model.disable_adapter():
        by_base = one_by_one(model, loaded, GENERAL[:4])
    assert found["general_nats_per_token"] - found[FORGETTING] == pytest.approx(by_base, rel=1e-4)


def one_by_one(model: Any, loaded: LoadedBase, general: Any) -> float:
    template, losses = ChatTemplate(loaded.tokenizer), list[float]()
    for row in general:
        prompt, answer = template.ids(row.prompt), template.answer_ids(row.completion)[:-1]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
        losses += [-float(logits[len(prompt) - 1 + at, token]) for at, token in enumerate(answer)]
    return sum(losses) / len(losses)


def test_measuring_leaves_the_model_as_it_was(base: BaseModel) -> None:
    model, loaded = adapted(base, spread=0.5)
    ids = torch.tensor([loaded.tokenizer("What is a camel?").input_ids])
    before = model(input_ids=ids).logits
    forgotten(model, GENERAL[:2], RowEncoder(loaded.tokenizer))
    assert model(input_ids=ids).logits.equal(before)


def test_a_training_keeps_what_it_forgot_and_on_what(base: BaseModel, tmp_path: Path) -> None:
    made = trainer(base, tmp_path / "store").train(rows(3), [], tmp_path / "work")
    assert made.metrics[FORGETTING] != 0.0
    assert made.origin["general_exchanges"] == general_digest()


def test_a_setting_switches_it_off_and_is_no_part_of_the_adapters_name(base: BaseModel, tmp_path: Path) -> None:
    """A home whose model was trained before there was a measure does not train again."""
    without = trainer(base, tmp_path / "store", SETTINGS.model_copy(update={"forgetting": False}))
    made = without.train(rows(3), [], tmp_path / "off")
    assert FORGETTING not in made.metrics
    assert made.origin["general_exchanges"] is None
    measured = trainer(base, tmp_path / "store")
    assert measured.fingerprint == without.fingerprint
    assert measured.train(rows(3), [], tmp_path / "on").model == made.model


def test_exchanges_are_asked_in_the_prompt_that_was_trained_on() -> None:
    assert {row.prompt[0] for row in GENERAL} == {LIKE.prompt[0]}
    assert all(row.prompt[-1].content.count(INVOCATION) == 1 for row in GENERAL)
    assert len({row.prompt for row in GENERAL}) == len(GENERAL) >= 60


def test_every_answer_is_one_sentence_without_a_marker_and_no_copy_of_its_passage() -> None:
    told = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
    assert all(len(sentences(one["answer"])) == 1 and not MARKER.search(one["answer"]) for one in told)
    assert not any(one["answer"] in one["passage"] for one in told)


def test_no_exchange_is_about_the_demos_handbook() -> None:
    labels = Path(__file__).parents[3] / "flows" / "demo" / "labels.jsonl"
    names = ("halden", "handbook", "warehouse", "pressure washer", "light tower")
    assert not any(name in FILE.read_text(encoding="utf-8").casefold() for name in names)
    asked = {json.loads(line)["question"] for line in labels.read_text(encoding="utf-8").splitlines()}
    assert not asked & {json.loads(line)["question"] for line in FILE.read_text(encoding="utf-8").splitlines()}
