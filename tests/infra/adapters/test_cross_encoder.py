"""Any cross-encoder: one finite logit per pair, in order; and no head of random numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_bert import tiny_bert, tiny_cross_encoder

from infra.adapters.cross_encoder import CrossEncoderReranker
from tasks.core.errors import BadSetting

TEXTS = ["a seal", "pump b c d e f", "x y z", "", "q " * 500, "seal pump"]


def by_transformers(folder: Path, question: str, text: str) -> float:
    import torch
    from transformers import AutoTokenizer, BertForSequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = BertForSequenceClassification.from_pretrained(folder, local_files_only=True).eval()
    with torch.inference_mode():
        return float(model(**tokenizer([question], [text], truncation=True, return_tensors="pt")).logits[0, 0])


def test_scores_are_the_models_logits_in_the_order_of_the_texts(tmp_path: Path) -> None:
    folder = tiny_cross_encoder(tmp_path / "cross")
    scores = CrossEncoderReranker(str(folder)).score("pump a", TEXTS)
    assert np.allclose(scores, [by_transformers(folder, "pump a", text) for text in TEXTS], atol=1e-4)
    assert len({round(score, 3) for score in scores}) == len(TEXTS)


def test_the_same_pairs_have_the_same_scores(tmp_path: Path) -> None:
    folder = str(tiny_cross_encoder(tmp_path / "cross"))
    one, other = CrossEncoderReranker(folder), CrossEncoderReranker(folder)
    assert list(one.score("pump", TEXTS)) == list(one.score("pump", TEXTS)) == list(other.score("pump", TEXTS))


def test_no_texts_have_no_scores_and_load_nothing() -> None:
    assert list(CrossEncoderReranker("nobody/nothing").score("pump", [])) == []


def test_the_fingerprint_is_that_of_the_weights(tmp_path: Path) -> None:
    one, same, other = (
        CrossEncoderReranker(str(tiny_cross_encoder(tmp_path / name, seed=seed))).fingerprint
        for name, seed in (("one", 0), ("same", 0), ("other", 1))
    )
    assert one == same != other


def test_an_encoder_without_a_trained_head_is_refused(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path / "bert")
    with pytest.raises(BadSetting, match="BertModel, without trained scores"):
        CrossEncoderReranker(str(folder)).score("pump", ["a"])


def test_a_model_with_several_labels_is_refused(tmp_path: Path) -> None:
    folder = tiny_cross_encoder(tmp_path / "classifier", labels=3)
    with pytest.raises(BadSetting, match="3 numbers per pair"):
        CrossEncoderReranker(str(folder)).score("pump", ["a"])
