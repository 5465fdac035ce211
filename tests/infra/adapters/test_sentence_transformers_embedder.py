"""Any sentence-transformers model: by folder, with its prompts, and nothing downloaded that was not asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_bert import LONGEST, minilm_folder, tiny_bert, tiny_sentence_model

from infra.adapters.minilm_embedder import MiniLmEmbedder
from infra.adapters.sentence_transformers_embedder import SentenceTransformersEmbedder
from tasks.core.errors import NotFound

PROMPTS = {"query": "query : ", "passage": "passage : "}
TEXTS = ["seal a pump", "b c d", "", "e f g h " * 40]


def test_the_packaged_minilm_has_the_vectors_of_its_own_adapter() -> None:
    texts = ["How do I replace the seal?", "größe 🚀 漢字", "", "word " * 600]
    ours, theirs = MiniLmEmbedder(), SentenceTransformersEmbedder(str(minilm_folder()), threads=1)
    assert np.abs(ours.embed(texts) - theirs.embed(texts)).max() < 1e-5
    assert ours.count_tokens(texts) == theirs.count_tokens(texts)
    assert ours.dimensions == theirs.dimensions


def test_vectors_of_a_model_that_does_not_normalise_have_unit_length(tmp_path: Path) -> None:
    vectors = SentenceTransformersEmbedder(str(tiny_sentence_model(tmp_path / "tiny"))).embed(TEXTS)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_a_model_without_prompts_embeds_questions_as_passages(tmp_path: Path) -> None:
    plain = SentenceTransformersEmbedder(str(tiny_sentence_model(tmp_path / "tiny")))
    assert np.array_equal(plain.embed_queries(TEXTS), plain.embed(TEXTS))


def test_declared_prompts_go_before_questions_and_passages(tmp_path: Path) -> None:
    plain = SentenceTransformersEmbedder(str(tiny_sentence_model(tmp_path / "plain")))
    asking = SentenceTransformersEmbedder(str(tiny_sentence_model(tmp_path / "asking", prompts=PROMPTS)))
    assert np.allclose(asking.embed_queries(["a b"]), plain.embed(["query : a b"]), atol=1e-6)
    assert np.allclose(asking.embed(["a b"]), plain.embed(["passage : a b"]), atol=1e-6)
    assert asking.count_tokens(["a b"]) == plain.count_tokens(["passage : a b"]) == 2 + 4


def test_prompts_that_are_set_win_over_declared_ones(tmp_path: Path) -> None:
    folder = str(tiny_sentence_model(tmp_path / "asking", prompts=PROMPTS))
    plain = SentenceTransformersEmbedder(folder, query_prompt="", passage_prompt="")
    told = SentenceTransformersEmbedder(folder, query_prompt="seal ", passage_prompt="pump ")
    assert np.allclose(told.embed_queries(["a b"]), plain.embed(["seal a b"]), atol=1e-6)
    assert np.allclose(told.embed(["a b"]), plain.embed(["pump a b"]), atol=1e-6)
    assert told.fingerprint != plain.fingerprint


def test_tokens_are_counted_as_cut(tmp_path: Path) -> None:
    tiny = SentenceTransformersEmbedder(str(tiny_sentence_model(tmp_path / "tiny")))
    assert tiny.count_tokens(["a b c", "", "e f g h " * 40]) == (3 + 2) + 2 + LONGEST


def test_the_fingerprint_is_of_what_is_in_the_folder_not_of_its_name(tmp_path: Path) -> None:
    one = SentenceTransformersEmbedder(str(tiny_sentence_model(tmp_path / "one")))
    same = SentenceTransformersEmbedder(str(tiny_sentence_model(tmp_path / "same")), threads=1)
    other = SentenceTransformersEmbedder(str(tiny_sentence_model(tmp_path / "other", seed=1)))
    assert one.fingerprint == same.fingerprint != other.fingerprint


def test_a_folder_without_weights_is_no_model(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path / "bert")
    (folder / "model.safetensors").unlink()
    with pytest.raises(NotFound, match="it is not a model"):
        SentenceTransformersEmbedder(str(folder)).embed(["a"])


def found_by(script: str, **environment: str) -> str:
    """What a fresh process prints: these settings are read when the libraries are imported."""
    command = [sys.executable, "-c", f"from infra.adapters.sentence_models import *\n{script}"]
    said = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
    return said.stdout.strip()


REFUSED = """
from tasks.core.errors import RatchetError
try:
    require_library("owner/model")
    find_sentence_model("owner/model")
except RatchetError as error:
    print(error.code, error)
"""


def test_a_name_in_the_cache_is_used_as_it_lies_there(tmp_path: Path) -> None:
    model = tmp_path / "models--owner--model"
    tiny_bert(model / "snapshots" / ("a" * 40))
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("a" * 40)
    script = "print(find_sentence_model('owner/model').folder)"
    assert found_by(script, HF_HUB_CACHE=str(tmp_path), HF_HUB_OFFLINE="1") == str(model / "snapshots" / ("a" * 40))


def test_a_name_that_is_not_here_and_cannot_be_fetched_is_unavailable(tmp_path: Path) -> None:
    said = found_by(REFUSED, HF_HUB_CACHE=str(tmp_path), HF_HUB_OFFLINE="1")
    assert said.startswith("model_unavailable The model 'owner/model' is not on this machine")


def test_without_the_library_the_error_says_what_to_install() -> None:
    said = found_by(f"import sys; sys.modules['sentence_transformers'] = None\n{REFUSED}")
    assert said.startswith("model_unavailable")
    assert "pip install 'ratchet[sentence-transformers]'" in said
