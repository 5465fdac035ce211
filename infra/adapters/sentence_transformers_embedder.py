"""Any sentence-transformers model as Embedder, by folder or Hugging Face name."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from infra.adapters.sentence_models import SentenceModel, compute, find_sentence_model, require_library, torch_threads
from tasks.core.errors import IntegrityFailure

if TYPE_CHECKING:
    from tasks.core.ports import Vectors

QUERIES = 4  # up to this many texts run on one thread: more threads than free cores make one question slower
_PROMPT_NAMES = {"query": ("query",), "document": ("document", "passage", "corpus")}
Task = Literal["query", "document"]


class SentenceTransformersEmbedder:
    """Embedder. Loaded at first use; safe to use from several threads, which take turns.

    A text's vector does not depend on its batch beyond float32 noise: padding is masked, but sums run in another order.
    """

    def __init__(
        self, name: str, *, threads: int = 0, query_prompt: str | None = None, passage_prompt: str | None = None
    ) -> None:
        """threads: for torch on a CPU; 0 leaves its own number.

        The prompts are put before every text; None takes what the model itself declares. Some models were trained with
        prompts that they do not declare (E5: "query: " and "passage: "): pass those, or retrieval is worse.
        """
        self._name = name
        self._threads = threads
        self._chosen: Mapping[Task, str | None] = {"query": query_prompt, "document": passage_prompt}
        self._one_at_a_time = threading.RLock()

    @cached_property
    def fingerprint(self) -> str:
        parts = (self._source.digest, repr(self._chosen), compute()[1])
        return f"st-{hashlib.sha256('; '.join(parts).encode()).hexdigest()[:16]}"

    @cached_property
    def dimensions(self) -> int:
        return int(self._model.get_embedding_dimension())

    @property
    def counts_tokens_exactly(self) -> bool:
        return True

    @property
    def usd_per_million_tokens(self) -> float:
        return 0.0

    def embed(self, texts: Sequence[str]) -> Vectors:
        return self._vectors(texts, "document")

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self._vectors(texts, "query")

    def count_tokens(self, texts: Sequence[str]) -> int:
        with self._one_at_a_time:
            return sum(self._count(text) for text in texts)

    def _vectors(self, texts: Sequence[str], task: Task) -> Vectors:
        if not texts:
            return np.zeros((0, self.dimensions), dtype=np.float32)
        with self._one_at_a_time, torch_threads(1 if len(texts) <= QUERIES else self._threads):
            found: Vectors = self._encode[task](
                list(texts), prompt=self._prompt(task), normalize_embeddings=True, show_progress_bar=False
            )
        if not np.isfinite(found).all():
            raise IntegrityFailure(f"{self._name} gave vectors that are not numbers: its weights are damaged.")
        return found.astype(np.float32, copy=False)

    def _count(self, text: str) -> int:
        features = self._model.preprocess([text], prompt=self._prompt("document"), task="document")
        return int(features["input_ids"].numel())

    def _prompt(self, task: Task) -> str:
        if (chosen := self._chosen[task]) is not None:
            return chosen
        declared = self._model.prompts
        return next((declared[name] for name in _PROMPT_NAMES[task] if declared.get(name)), "")

    @cached_property
    def _source(self) -> SentenceModel:
        require_library(self._name)
        return find_sentence_model(self._name)

    @cached_property
    def _encode(self) -> Mapping[Task, Any]:
        return {"query": self._model.encode_query, "document": self._model.encode_document}

    @cached_property
    def _model(self) -> Any:
        with self._one_at_a_time:
            return _load(self._source)


def _load(source: SentenceModel) -> Any:
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()
    return SentenceTransformer(
        str(source.folder),
        device=compute()[0],
        local_files_only=True,
        model_kwargs={"dtype": torch.float32, "use_safetensors": True},
    )
