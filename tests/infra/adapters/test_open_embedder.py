"""An embedder by its name."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr
from tiny_bert import tiny_sentence_model

from infra.adapters.minilm_embedder import MiniLmEmbedder
from infra.adapters.open_embedder import open_embedder
from infra.adapters.openai_embedder import OpenAiEmbedder
from infra.adapters.sentence_transformers_embedder import SentenceTransformersEmbedder
from tasks.core.errors import BadSetting


def test_minilm_is_the_packaged_one() -> None:
    assert open_embedder("minilm").fingerprint == MiniLmEmbedder().fingerprint


def test_openai_names_its_model_after_the_colon() -> None:
    opened = open_embedder("openai:text-embedding-3-large", openai_api_key=SecretStr("sk"), dimensions=256)
    wanted = OpenAiEmbedder("text-embedding-3-large", api_key=SecretStr("sk"), dimensions=256)
    assert (opened.fingerprint, opened.dimensions) == (wanted.fingerprint, 256)


def test_a_folder_is_a_sentence_transformers_model(tmp_path: Path) -> None:
    opened = open_embedder(str(tiny_sentence_model(tmp_path / "tiny")), query_prompt="query : ")
    wanted = SentenceTransformersEmbedder(str(tmp_path / "tiny"), query_prompt="query : ")
    assert opened.fingerprint == wanted.fingerprint


def test_a_hugging_face_name_opens_without_asking_anybody() -> None:
    assert isinstance(open_embedder("intfloat/e5-small-v2"), SentenceTransformersEmbedder)


@pytest.mark.parametrize("name", ["minilmm", "", "openai:", "./gone", "/gone/model", "a/b/c", "~/gone"])
def test_a_name_that_cannot_be_one_says_what_can(name: str) -> None:
    with pytest.raises(BadSetting, match="`minilm`, `openai:MODEL`"):
        open_embedder(name)
