"""A DoRA adapter: active everywhere, trained, proved, served and resumed as any other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from killed_training import SETTINGS, rows, trainer

from infra.adapters.adapter_proof import WEIGHTS, verify_adapter
from infra.adapters.base_models import BaseModel, load_base_model
from infra.adapters.folder_artifacts import FolderArtifacts
from infra.adapters.lora_packing import RowEncoder
from infra.adapters.transformers_chat import TransformersChat
from tasks.core.errors import AdapterBroken
from tasks.core.ports import TrainedModel

DORA = SETTINGS.model_copy(update={"use_dora": True})


@pytest.fixture(scope="module")
def made(base: BaseModel, store: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return trainer(base, store, DORA).train(rows(), rows(2), tmp_path_factory.mktemp("work"))


def folder_of(made: TrainedModel, store: Path) -> Path:
    return FolderArtifacts(store).path(str(made.model.adapter))


def test_it_is_active_everywhere_because_peft_knows_no_dora_that_is_woken(made: TrainedModel, store: Path) -> None:
    config = json.loads((folder_of(made, store) / "adapter_config.json").read_text())
    assert (config["use_dora"], config["alora_invocation_tokens"]) == (True, None)


def test_peft_still_refuses_an_adapter_that_is_both(base: BaseModel) -> None:
    """The reason for the test above. When this fails, PEFT has learned it, and DoRA can be woken too."""
    from peft import LoraConfig, get_peft_model

    both = LoraConfig(target_modules="all-linear", task_type="CAUSAL_LM", use_dora=True, alora_invocation_tokens=[5, 6])
    with pytest.raises(ValueError, match="alora_invocation_tokens"):
        get_peft_model(load_base_model(base).model, both)


def test_it_passes_its_own_proof_and_is_served(made: TrainedModel, base: BaseModel, store: Path) -> None:
    loaded = load_base_model(base)
    verify_adapter(folder_of(made, store), loaded.model, loaded.tokenizer)
    chat = TransformersChat(base, FolderArtifacts(store))
    asked = [row.prompt for row in rows(3)]
    tuned, plain = (chat.open(ref).complete(asked, max_new_tokens=8) for ref in (made.model, chat.base()))
    assert [one.text for one in tuned] != [one.text for one in plain]


def test_its_loss_in_training_is_its_loss_as_served(made: TrainedModel, base: BaseModel, store: Path) -> None:
    """Whole rows, one by one, through the adapter as serving loads it: so the passages went through it in training."""
    import torch
    from peft import PeftModel

    loaded = load_base_model(base)
    served = PeftModel.from_pretrained(loaded.model, str(folder_of(made, store))).eval()
    lost = []
    for row in rows(2):
        context, block = RowEncoder(loaded.tokenizer).encode(row)
        with torch.no_grad():
            logits = served(input_ids=torch.tensor([[*context, *block.read]])).logits[0, -len(block.completion) :]
        lost += torch.nn.functional.cross_entropy(logits, torch.tensor(block.completion), reduction="none").tolist()
    assert made.metrics["validation_loss"] == pytest.approx(sum(lost) / len(lost), rel=1e-4)


def test_it_is_served_beside_an_adapter_that_is_woken(
    made: TrainedModel, base: BaseModel, store: Path, tmp_path: Path
) -> None:
    woken = trainer(base, store).train(rows(3), [], tmp_path)
    chat = TransformersChat(base, FolderArtifacts(store))
    asked = [row.prompt for row in rows(3)]
    alone = [
        one.text
        for one in TransformersChat(base, FolderArtifacts(store)).open(made.model).complete(asked, max_new_tokens=8)
    ]
    chat.open(woken.model).complete(asked, max_new_tokens=8)
    assert [one.text for one in chat.open(made.model).complete(asked, max_new_tokens=8)] == alone


def test_one_without_its_magnitudes_is_refused(
    made: TrainedModel, base: BaseModel, store: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    broken = Path(shutil.copytree(folder_of(made, store), tmp_path / "broken"))
    weights: dict[str, Any] = load_file(broken / WEIGHTS)
    save_file({name: one for name, one in weights.items() if "magnitude" not in name}, broken / WEIGHTS)
    loaded = load_base_model(base)
    with pytest.raises(AdapterBroken, match="magnitude") as refused:
        verify_adapter(broken, loaded.model, loaded.tokenizer)
    assert refused.value.values["check"] == "keys"


def test_layers_computed_again_give_the_same_dora_adapter_to_the_bit(
    made: TrainedModel, base: BaseModel, store: Path, tmp_path: Path
) -> None:
    again = trainer(base, store, DORA.model_copy(update={"gradient_checkpointing": True}))
    assert again.train(rows(), rows(2), tmp_path).model == made.model
