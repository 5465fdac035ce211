"""OpenAI's embeddings over real HTTP: what is sent, what is believed, and what is tried again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from openai_embeddings_fake import KEY, EmbeddingsServer, Fault, embeddings_server, tokens, true_vector
from pydantic import SecretStr
from tiny_bert import minilm_folder

from infra.adapters.openai_embedder import MAX_BYTES, OpenAiEmbedder
from infra.adapters.openai_retries import Patience
from tasks.core.errors import BadSetting, CannotRetry, IntegrityFailure, ModelUnavailable, NotFound, UsageError

QUICK = Patience(seconds=5.0, first_wait_seconds=0.01)


@pytest.fixture
def server() -> Iterator[EmbeddingsServer]:
    with embeddings_server() as running:
        yield running


def embedder(server: EmbeddingsServer, model: str = "tiny-embedding", **settings: object) -> OpenAiEmbedder:
    given = {"api_key": SecretStr(KEY), "base_url": server.url, "patience": QUICK} | settings
    return OpenAiEmbedder(model, **given)  # type: ignore[arg-type]


def truth(texts: list[str], dimensions: int = 8) -> np.ndarray:
    return np.stack([true_vector(text, dimensions) for text in texts])


def test_vectors_are_the_servers_made_unit_length(server: EmbeddingsServer) -> None:
    texts = ["a seal", "größe 🚀", "a valve"]
    assert np.allclose(embedder(server).embed(texts), truth(texts), atol=1e-6)
    assert server.requests[-1]["encoding_format"] == "base64"


def test_a_server_that_answers_with_lists_is_understood_too(server: EmbeddingsServer) -> None:
    server.floats = True
    assert np.allclose(embedder(server).embed(["a", "b"]), truth(["a", "b"]), atol=1e-6)


def test_an_answer_out_of_order_is_put_in_order(server: EmbeddingsServer) -> None:
    known = embedder(server, "text-embedding-3-small")
    server.faults = [Fault(spoil="shuffled")]
    assert np.allclose(known.embed(["a", "b", "c"]), truth(["a", "b", "c"], 1536), atol=1e-6)


def test_no_request_has_more_texts_than_the_api_takes(server: EmbeddingsServer) -> None:
    texts = [f"t{n}" for n in range(2048 + 5)]
    vectors = embedder(server, dimensions=4).embed(texts)
    assert server.texts_per_request == [2048, 5]
    assert np.allclose(vectors, truth(texts, 4), atol=1e-6)


def test_no_request_has_more_tokens_than_the_api_takes(server: EmbeddingsServer) -> None:
    embedder(server, dimensions=4).embed([str(n % 10) * 8000 for n in range(40)])
    assert server.texts_per_request == [300_000 // 8000, 40 - 300_000 // 8000]


def test_a_text_is_cut_between_characters_at_the_limit(server: EmbeddingsServer) -> None:
    embedder(server, dimensions=4).embed(["a" + "é" * 8000])
    assert server.requests[-1]["input"] == ["a" + "é" * ((MAX_BYTES - 1) // 2)]


def test_shorter_vectors_are_asked_for_only_when_set(server: EmbeddingsServer) -> None:
    assert embedder(server, "text-embedding-3-small", dimensions=256).embed(["a"]).shape == (1, 256)
    assert server.requests[-1]["dimensions"] == 256
    embedder(server, "text-embedding-3-small").embed(["a"])
    assert "dimensions" not in server.requests[-1]


def test_an_unknown_models_dimensions_are_learned_from_one_answer(server: EmbeddingsServer) -> None:
    unknown = embedder(server)
    assert (unknown.dimensions, unknown.dimensions) == (8, 8)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "fault", [Fault(429, headers={"retry-after-ms": "5"}), Fault(500), Fault(503), Fault(408), Fault(409)]
)
def test_a_passing_failure_is_waited_out(server: EmbeddingsServer, fault: Fault) -> None:
    server.faults = [fault, fault]
    assert np.allclose(embedder(server, dimensions=8).embed(["a"]), truth(["a"]), atol=1e-6)
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    "headers",
    [
        {"retry-after-ms": "300"},
        {"retry-after": "0.3"},
        {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "300ms", "x-ratelimit-reset-requests": "9s"},
    ],
)
def test_a_rate_limit_is_waited_for_as_long_as_the_server_asks(
    server: EmbeddingsServer, headers: dict[str, str]
) -> None:
    server.faults = [Fault(429, code="rate_limit_exceeded", headers=headers)]
    began = time.monotonic()
    embedder(server, dimensions=8).embed(["a"])
    assert 0.3 <= time.monotonic() - began < 5.0


def test_a_wait_longer_than_the_patience_is_refused_at_once(server: EmbeddingsServer) -> None:
    server.faults = [Fault(429, headers={"retry-after": "30"})]
    began = time.monotonic()
    with pytest.raises(ModelUnavailable, match="next try would be in 30 s"):
        embedder(server, dimensions=8).embed(["a"])
    assert time.monotonic() - began < 5


def test_a_failure_that_stays_ends_with_the_patience(server: EmbeddingsServer) -> None:
    server.faults = [Fault(500)] * 50
    with pytest.raises(ModelUnavailable, match="500"):
        embedder(server, patience=Patience(0.1, 0.01)).embed(["a"])
    assert 2 <= len(server.requests) <= 4  # after 0, 10, 30 and 70 ms at the soonest; the next would be at 150


def test_a_silent_server_is_unavailable_and_asked_again(server: EmbeddingsServer) -> None:
    server.faults = [Fault(seconds=0.5)]
    assert embedder(server, dimensions=8, timeout_seconds=0.1).embed(["a"]).shape == (1, 8)
    assert len(server.requests) == 2


def test_a_server_that_is_not_there_is_unavailable() -> None:
    gone = OpenAiEmbedder("m", base_url="http://127.0.0.1:9/v1", dimensions=8, patience=Patience(0.05, 0.01))
    with pytest.raises(ModelUnavailable, match="cannot be used now"):
        gone.embed(["a"])


@pytest.mark.parametrize(
    ("fault", "error", "says"),
    [
        (Fault(401), BadSetting, "API key"),
        (Fault(403), BadSetting, "API key"),
        (Fault(404), NotFound, "model's name"),
        (Fault(400), UsageError, "refused the request"),
        (Fault(429, code="insufficient_quota"), CannotRetry, "quota"),
    ],
)
def test_what_waiting_cannot_cure_is_not_asked_twice(
    server: EmbeddingsServer, fault: Fault, error: type[CannotRetry], says: str
) -> None:
    server.faults = [fault]
    with pytest.raises(error, match=says):
        embedder(server, dimensions=8).embed(["a"])
    assert len(server.requests) == 1


def test_a_wrong_key_and_a_wrong_model_are_told_apart(server: EmbeddingsServer) -> None:
    with pytest.raises(BadSetting, match="Incorrect API key"):
        embedder(server, api_key=SecretStr("sk-other"), dimensions=8).embed(["a"])
    with pytest.raises(NotFound, match="does not exist"):
        embedder(server, "no-such-model", dimensions=8).embed(["a"])


@pytest.mark.parametrize("spoil", ["missing", "twice", "nan", "zero", "short", "garbled", "html"])
def test_an_answer_that_is_not_one_vector_per_text_is_refused(server: EmbeddingsServer, spoil: str) -> None:
    server.floats = spoil in ("nan", "zero", "short")
    server.faults = [Fault(spoil=spoil)]
    with pytest.raises(IntegrityFailure):
        embedder(server, dimensions=8).embed(["a", "b"])


def test_vectors_of_another_length_than_expected_are_refused(server: EmbeddingsServer) -> None:
    server.faults = [Fault(spoil="short")]
    server.floats = True
    with pytest.raises(IntegrityFailure, match="7 numbers, not 8"):
        embedder(server, dimensions=8).embed(["a"])


def test_tokens_are_those_the_server_bills(server: EmbeddingsServer) -> None:
    billed = embedder(server, dimensions=8)
    billed.embed(["abc", "größe"])
    billed.embed(["d"])
    assert billed.tokens_used == tokens("abc") + tokens("größe") + tokens("d")


def test_without_a_tokenizer_tokens_are_an_estimate_and_said_to_be_one(server: EmbeddingsServer) -> None:
    estimating = embedder(server)
    assert not estimating.counts_tokens_exactly
    assert estimating.count_tokens(["12345678", "123456789", "x" * 10 * MAX_BYTES]) == 2 + 3 + MAX_BYTES // 4


def test_with_the_models_tokenizer_tokens_are_counted(server: EmbeddingsServer) -> None:
    counting = embedder(server, tokenizer=minilm_folder() / "tokenizer.json")
    assert counting.counts_tokens_exactly
    assert counting.count_tokens(["pump seal", ""]) == (1 + 2 + 1) + (1 + 1)  # [CLS] and [SEP] around each


def test_a_tokenizer_that_is_not_there_is_said_to_be(server: EmbeddingsServer, tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=r"nothing\.json is not there"):
        embedder(server, tokenizer=tmp_path / "nothing.json").count_tokens(["a"])


def test_the_price_is_the_list_price_unless_set(server: EmbeddingsServer) -> None:
    assert embedder(server, "text-embedding-3-small").usd_per_million_tokens == 0.02
    assert embedder(server, "text-embedding-3-small", usd_per_million_tokens=0.01).usd_per_million_tokens == 0.01
    assert embedder(server, "tiny-embedding").usd_per_million_tokens == 0


def test_the_fingerprint_tells_servers_models_and_dimensions_apart_but_not_keys(server: EmbeddingsServer) -> None:
    base = embedder(server).fingerprint
    others = [
        embedder(server, "text-embedding-3-small").fingerprint,
        embedder(server, dimensions=4).fingerprint,
        embedder(server, base_url="http://127.0.0.1:1/v1").fingerprint,
    ]
    assert len({base, *others}) == 4
    assert embedder(server, api_key=SecretStr("another")).fingerprint == base
    assert server.requests == []


def test_no_key_for_openai_itself_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(BadSetting, match="API key"):
        OpenAiEmbedder()
