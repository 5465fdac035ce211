"""What every Embedder promises. A new adapter joins by adding itself to `ADAPTERS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from document_fakes import WordEmbedder
from openai_embeddings_fake import KEY, embeddings_server
from pydantic import SecretStr
from tiny_bert import minilm_folder, tiny_sentence_model

from infra.adapters.minilm_embedder import MiniLmEmbedder
from infra.adapters.openai_embedder import OpenAiEmbedder
from infra.adapters.sentence_transformers_embedder import SentenceTransformersEmbedder
from tasks.core.ports import Embedder
from tasks.remembered_questions import RememberedQuestions

Opener = Callable[[], Embedder]
TEXTS = ["seal a pump", "größe 🚀 漢字", "b c d", "x y z " * 20, "e f"]
ADAPTERS = ["words", "remembered questions", "minilm", "sentence-transformers", "openai"]


@pytest.fixture(scope="module", params=ADAPTERS)
def opener(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opener]:
    """Opens the adapter anew."""
    if request.param == "words":
        yield WordEmbedder
    elif request.param == "remembered questions":
        yield lambda: RememberedQuestions(WordEmbedder())
    elif request.param == "minilm":
        yield MiniLmEmbedder
    elif request.param == "sentence-transformers":
        folder = str(tiny_sentence_model(tmp_path_factory.mktemp("models") / "tiny"))
        yield lambda: SentenceTransformersEmbedder(folder)
    else:
        with embeddings_server() as server:
            yield lambda: _openai(server.url, minilm_folder() / "tokenizer.json")


def _openai(url: str, tokenizer: Path) -> Embedder:
    return OpenAiEmbedder("tiny-embedding", api_key=SecretStr(KEY), base_url=url, tokenizer=tokenizer)


@pytest.fixture(scope="module")
def embedder(opener: Opener) -> Embedder:
    return opener()


@pytest.mark.parametrize("way", ["embed", "embed_queries"])
def test_one_unit_vector_per_text(embedder: Embedder, way: str) -> None:
    vectors = getattr(embedder, way)(TEXTS)
    assert vectors.shape == (len(TEXTS), embedder.dimensions)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_vectors_come_in_the_order_of_the_texts(embedder: Embedder) -> None:
    assert np.allclose(embedder.embed(TEXTS[::-1]), embedder.embed(TEXTS)[::-1], atol=1e-5)
    assert np.allclose(np.concatenate([embedder.embed([text]) for text in TEXTS]), embedder.embed(TEXTS), atol=1e-5)


def test_different_texts_have_different_vectors(embedder: Embedder) -> None:
    similar = embedder.embed(["seal a pump", "b c d", "x y z"])
    assert (similar @ similar.T)[np.triu_indices(3, 1)].max() < 0.9999


def test_no_texts_give_no_vectors_and_no_tokens(embedder: Embedder) -> None:
    assert embedder.embed([]).shape == (0, embedder.dimensions)
    assert embedder.embed_queries([]).shape == (0, embedder.dimensions)
    assert embedder.count_tokens([]) == 0


@pytest.mark.parametrize("text", ["", " ", "\n", "\x00", "word " * 20_000, "漢" * 5_000, "👩‍👩‍👧"])
def test_any_text_has_a_vector(embedder: Embedder, text: str) -> None:
    (vector,) = embedder.embed([text])
    assert abs(np.linalg.norm(vector) - 1) < 1e-5


def test_the_same_text_has_the_same_vector_in_every_instance(opener: Opener) -> None:
    one, other = opener(), opener()
    assert one.fingerprint == other.fingerprint
    assert np.array_equal(one.embed(TEXTS), other.embed(TEXTS))


def test_tokens_add_up_over_texts(embedder: Embedder) -> None:
    assert embedder.count_tokens(TEXTS) == sum(embedder.count_tokens([text]) for text in TEXTS) > 0


def test_a_price_is_known_and_not_below_zero(embedder: Embedder) -> None:
    assert embedder.usd_per_million_tokens >= 0
