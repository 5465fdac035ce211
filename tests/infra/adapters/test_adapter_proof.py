"""Every way an adapter can be broken, and the check that refuses it."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_llama import tiny_adapter, tiny_base

from infra.adapters.adapter_proof import CONFIG, PROOF, WEIGHTS, verify_adapter, weights_fingerprint
from infra.adapters.base_models import BaseModel, LoadedBase, load_base_model
from tasks.core.errors import AdapterBroken

Damage = Callable[[Path], None]


@pytest.fixture(scope="module")
def loaded(base: BaseModel) -> LoadedBase:
    return load_base_model(base)


@pytest.fixture(scope="module")
def trained(base: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_adapter(tmp_path_factory.mktemp("adapters") / "trained", base)


@pytest.fixture
def adapter(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "adapter"))


def refused(folder: Path, loaded: LoadedBase) -> object:
    with pytest.raises(AdapterBroken) as caught:
        verify_adapter(folder, loaded.model, loaded.tokenizer)
    return caught.value.values["check"]


def rewrite(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Changes the weights, and covers the tracks: the digest in the proof is made to match."""
    from hashlib import sha256

    from safetensors.torch import load_file, save_file

    save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS)
    proof = json.loads((folder / PROOF).read_text())
    proof["weights_sha256"] = sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    (folder / PROOF).write_text(json.dumps(proof))


def edit(folder: Path, name: str, **values: object) -> None:
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(content | values))


def one_changed(weights: dict[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    name = sorted(weights)[0]
    return weights | {name: change(weights[name].clone())}


def with_value(tensor: Any, value: float) -> Any:
    tensor.view(-1)[5] = value
    return tensor


def test_an_adapter_as_trained_passes_and_leaves_the_model_as_it_was(adapter: Path, loaded: LoadedBase) -> None:
    before = weights_fingerprint(loaded.model), [name for name, _ in loaded.model.named_modules()]
    verify_adapter(adapter, loaded.model, loaded.tokenizer)
    assert (weights_fingerprint(loaded.model), [name for name, _ in loaded.model.named_modules()]) == before


@pytest.mark.parametrize("name", [PROOF, CONFIG, WEIGHTS])
def test_a_missing_file_is_refused(adapter: Path, loaded: LoadedBase, name: str) -> None:
    (adapter / name).unlink()
    assert refused(adapter, loaded) == "files"


def test_a_proof_of_an_unknown_format_is_refused(adapter: Path, loaded: LoadedBase) -> None:
    edit(adapter, PROOF, format=2)
    assert refused(adapter, loaded) == "files"


def test_another_base_model_is_refused(adapter: Path, tmp_path: Path) -> None:
    assert refused(adapter, load_base_model(tiny_base(tmp_path, seed=7))) == "base"


@pytest.mark.parametrize(
    "changed",
    [{"r": 8}, {"lora_alpha": 64}, {"target_modules": ["q_proj"]}, {"alora_invocation_tokens": None}],
    ids=lambda changed: next(iter(changed)),
)
def test_a_configuration_that_was_not_trained_is_refused(
    adapter: Path, loaded: LoadedBase, changed: dict[str, object]
) -> None:
    edit(adapter, CONFIG, **changed)
    assert refused(adapter, loaded) == "rank"


def test_truncated_weights_are_refused(adapter: Path, loaded: LoadedBase) -> None:
    whole = (adapter / WEIGHTS).read_bytes()
    (adapter / WEIGHTS).write_bytes(whole[: len(whole) // 2])
    assert refused(adapter, loaded) == "readable"


def test_renamed_weights_are_refused(adapter: Path, loaded: LoadedBase) -> None:
    rewrite(adapter, lambda weights: {name.replace("lora_A", "lora_C"): x for name, x in weights.items()})
    assert refused(adapter, loaded) == "keys"


def test_missing_weights_are_refused(adapter: Path, loaded: LoadedBase) -> None:
    rewrite(adapter, lambda weights: {name: x for name, x in weights.items() if ".layers.0." in name})
    assert refused(adapter, loaded) == "keys"


def test_weights_of_another_rank_are_refused(adapter: Path, loaded: LoadedBase) -> None:
    rewrite(adapter, lambda weights: {name: x.repeat(2, 1) for name, x in weights.items()})
    assert refused(adapter, loaded) == "shapes"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_numbers_are_refused(adapter: Path, loaded: LoadedBase, value: float) -> None:
    rewrite(adapter, lambda weights: one_changed(weights, lambda tensor: with_value(tensor, value)))
    assert refused(adapter, loaded) == "finite"


def test_a_flipped_bit_is_refused(adapter: Path, loaded: LoadedBase) -> None:
    data = bytearray((adapter / WEIGHTS).read_bytes())
    data[-40] ^= 1
    (adapter / WEIGHTS).write_bytes(bytes(data))
    assert refused(adapter, loaded) == "digest"


def test_the_weights_of_another_adapter_are_refused(
    adapter: Path, base: BaseModel, loaded: LoadedBase, tmp_path: Path
) -> None:
    other = tiny_adapter(tmp_path / "other", base, seed=9)
    shutil.copyfile(other / WEIGHTS, adapter / WEIGHTS)
    assert refused(adapter, loaded) == "digest"


def test_weights_that_answer_differently_are_refused_even_under_a_matching_digest(
    adapter: Path, loaded: LoadedBase
) -> None:
    rewrite(adapter, lambda weights: {name: x * 0 for name, x in weights.items()})
    assert refused(adapter, loaded) == "golden-logits"


def test_a_tokenizer_that_spells_the_probe_otherwise_is_refused(adapter: Path, loaded: LoadedBase) -> None:
    proof = json.loads((adapter / PROOF).read_text())
    proof["probe"]["tokens"][0] += 1
    (adapter / PROOF).write_text(json.dumps(proof))
    assert refused(adapter, loaded) == "tokenizer"


def test_the_same_base_in_another_precision_is_the_same_base(loaded: LoadedBase, base: BaseModel) -> None:
    import torch

    half = load_base_model(base).model.to(torch.bfloat16)
    assert weights_fingerprint(half) == weights_fingerprint(loaded.model)


def test_the_error_says_what_to_do(adapter: Path, loaded: LoadedBase) -> None:
    (adapter / WEIGHTS).unlink()
    with pytest.raises(AdapterBroken, match=r"was refused: .* Train again, or restore"):
        verify_adapter(adapter, loaded.model, loaded.tokenizer)
