"""BERT in numpy: what transformers computes, without it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from tiny_bert import LONGEST, tiny_bert

from infra.adapters.bert_encoder import BertEncoder, _gelu


def by_transformers(folder: Path, ids: list[int]) -> np.ndarray:
    import torch
    from transformers import BertModel

    model = BertModel.from_pretrained(folder, local_files_only=True).eval()
    with torch.inference_mode():
        mean = model(input_ids=torch.tensor([ids])).last_hidden_state[0].mean(dim=0).numpy()
    return mean / np.linalg.norm(mean)


@pytest.mark.parametrize("length", [1, 2, 17, LONGEST])
def test_a_vector_is_the_mean_that_transformers_computes(tmp_path: Path, length: int) -> None:
    folder = tiny_bert(tmp_path / "bert")
    ids = [5 + n % 20 for n in range(length)]
    (vector,) = BertEncoder.load(folder).encode([ids])
    assert np.abs(vector - by_transformers(folder, ids)).max() < 1e-5


def test_a_longer_text_before_leaves_nothing_behind(tmp_path: Path) -> None:
    encoder = BertEncoder.load(tiny_bert(tmp_path / "bert"))
    long, short = [7] * LONGEST, [5, 6, 9]
    assert np.array_equal(encoder.encode([long, short])[1], encoder.encode([short])[0])


def test_gelu_is_gelu_to_float_precision_far_out_too() -> None:
    from math import erf, sqrt

    x = np.linspace(-12, 12, 4001, dtype=np.float32)[:, None]
    rows = (x * np.float32(sqrt(0.5))).copy()
    _gelu(rows, np.empty((3, 16, 1), np.float32))
    exact = [[value * (1 + erf(value / sqrt(2))) / 2 * sqrt(2)] for value in x[:, 0].tolist()]
    assert np.abs(rows - np.array(exact)).max() < 3e-6


def test_an_encoder_that_computes_otherwise_is_refused(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path / "bert")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_act": "relu"}))
    with pytest.raises(ValidationError, match="hidden_act"):
        BertEncoder.load(folder)
