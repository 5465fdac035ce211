"""Embeddings of OpenAI, or of any server that speaks its wire format (vLLM, text-embeddings-inference, Ollama)."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import SecretStr

from infra.adapters.openai_retries import Patience, ask
from tasks.core.errors import BadSetting, IntegrityFailure

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from tasks.core.ports import Vectors

OPENAI = "https://api.openai.com/v1"
DIMENSIONS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}
USD_PER_MILLION_TOKENS = {  # list prices of July 2026, without the discount for batch jobs
    "text-embedding-3-small": 0.02,
    "text-embedding-3-large": 0.13,
    "text-embedding-ada-002": 0.10,
}
MAX_BYTES = (
    8192  # of UTF-8 per text. No byte is two tokens, so this keeps the server's 8,192 tokens without its tokenizer
)
MAX_REQUEST_BYTES = 300_000  # likewise for 300,000 tokens per request
MAX_REQUEST_TEXTS = 2048
BYTES_PER_TOKEN = 4  # of English prose


class OpenAiEmbedder:
    """Embedder. Safe to use from several threads.

    A text is embedded up to `MAX_BYTES`, whether or not a tokenizer is at hand, so that its vector does not depend on
    that; the rest is found by its words only. An empty text is embedded as one space, which the API accepts.
    """

    def __init__(
        self,
        model: str = "text-embedding-3-small",
        *,
        api_key: SecretStr | None = None,
        base_url: str | None = None,
        dimensions: int | None = None,
        usd_per_million_tokens: float | None = None,
        tokenizer: Path | None = None,
        timeout_seconds: float = 60.0,
        patience: Patience | None = None,
    ) -> None:
        """Asks nothing yet. Raises BadSetting without a key when the server is OpenAI's.

        dimensions: asks the server for shorter vectors; only some models can. usd_per_million_tokens: None takes the
        list price, and 0 for a model without one. tokenizer: the model's `tokenizer.json`, to count tokens exactly.
        """
        if api_key is None and base_url is None:
            raise BadSetting(
                "OpenAI embeddings need an API key. Set RATCHET_OPENAI_API_KEY, or a base URL without one."
            )
        self._model = model
        self._api_key = api_key or SecretStr("none")
        self._base_url = base_url or OPENAI
        self._asked_dimensions = dimensions
        self._price = (
            USD_PER_MILLION_TOKENS.get(model, 0.0) if usd_per_million_tokens is None else usd_per_million_tokens
        )
        self._tokenizer_file = tokenizer
        self._timeout_seconds = timeout_seconds
        self._patience = patience or Patience()
        self._counting = threading.Lock()
        self._tokens_used = 0

    @property
    def fingerprint(self) -> str:
        """A server may change a model without a word; that cannot be seen here."""
        parts = f"{self._base_url.rstrip('/')} {self._model} {self._asked_dimensions} {MAX_BYTES}"
        return f"openai-{hashlib.sha256(parts.encode()).hexdigest()[:16]}"

    @cached_property
    def dimensions(self) -> int:
        """Asks the server once when neither the setting nor the list of known models says it."""
        known = self._asked_dimensions or DIMENSIONS.get(self._model)
        return known or int(self._request([" "]).shape[1])

    @property
    def usd_per_million_tokens(self) -> float:
        return self._price

    @property
    def counts_tokens_exactly(self) -> bool:
        """Whether `count_tokens` is what the server will bill, or one token per 4 bytes: about right for English."""
        return self._tokenizer_file is not None

    @property
    def tokens_used(self) -> int:
        """Tokens that the server says it has billed to this embedder."""
        return self._tokens_used

    def count_tokens(self, texts: Sequence[str]) -> int:
        cut = [_cut(text) for text in texts]
        if self._tokenizer is None:
            return sum(-(-len(text.encode()) // BYTES_PER_TOKEN) for text in cut)
        return sum(len(encoding.ids) for encoding in self._tokenizer.encode_batch_fast(cut))

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self.embed(texts)

    def embed(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.zeros((0, self.dimensions), dtype=np.float32)
        return np.concatenate([self._expected(self._request(batch)) for batch in _batches([_cut(t) for t in texts])])

    def _expected(self, vectors: Vectors) -> Vectors:
        if vectors.shape[1] != self.dimensions:
            raise IntegrityFailure(
                f"{self._what} gave vectors of {vectors.shape[1]} numbers, not {self.dimensions}. Check the model and "
                "the dimensions asked for.",
                wanted=self.dimensions,
                found=vectors.shape[1],
            )
        return vectors

    def _request(self, texts: list[str]) -> Vectors:
        wanted = {} if self._asked_dimensions is None else {"dimensions": self._asked_dimensions}
        create = self._client.embeddings.create
        answer = ask(
            lambda: create(model=self._model, input=texts, encoding_format="base64", **wanted),
            self._what,
            self._patience,
        )
        if not hasattr(answer, "data"):  # a proxy's page, say
            raise IntegrityFailure(f"{self._what} did not answer in OpenAI's format. Check the base URL.")
        with self._counting:
            self._tokens_used += answer.usage.total_tokens if answer.usage else 0
        return _vectors(answer.data or [], len(texts), self._what)

    @property
    def _what(self) -> str:
        return f"The embedding model {self._model!r} at {self._base_url}"

    @cached_property
    def _client(self) -> Any:
        """Without the SDK's own retries: it would wait behind our back, for longer than asked."""
        from openai import OpenAI

        return OpenAI(
            api_key=self._api_key.get_secret_value(),
            base_url=self._base_url,
            timeout=self._timeout_seconds,
            max_retries=0,
        )

    @cached_property
    def _tokenizer(self) -> Tokenizer | None:
        if self._tokenizer_file is None:
            return None
        if not self._tokenizer_file.is_file():
            raise BadSetting(f"{self._tokenizer_file} is not there: a `tokenizer.json` counts tokens exactly.")
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self._tokenizer_file))
        tokenizer.no_padding()
        return tokenizer


def _cut(text: str) -> str:
    """
    >>> len(_cut("é" * 5000)), _cut("")
    (4096, ' ')
    """
    return text.encode()[:MAX_BYTES].decode(errors="ignore") or " "


def _batches(texts: list[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        length = len(text.encode())
        if batch and (len(batch) == MAX_REQUEST_TEXTS or size + length > MAX_REQUEST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += length
    yield batch


def _vectors(data: Sequence[Any], count: int, what: str) -> Vectors:
    """In the order of the texts, unit length. Raises IntegrityFailure unless every text has one finite vector."""
    if sorted(str(item.index) for item in data) != sorted(map(str, range(count))):
        raise IntegrityFailure(f"{what} gave {len(data)} vectors for {count} texts, or numbered them wrongly.")
    try:
        vectors = np.stack([_numbers(item.embedding) for item in sorted(data, key=lambda item: int(item.index))])
    except ValueError as error:
        raise IntegrityFailure(f"{what} gave vectors that cannot be read: {error}.") from error
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    if not np.isfinite(norms).all() or not norms.all():
        raise IntegrityFailure(f"{what} gave a vector that is zero or not finite.")
    unit: Vectors = (vectors / norms).astype(np.float32)
    return unit


def _numbers(embedding: str | Sequence[float]) -> Vectors:
    """Base64 of little-endian float32, as asked for; some servers send a list all the same. Raises ValueError."""
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4")
    return np.asarray(embedding, dtype=np.float32)
