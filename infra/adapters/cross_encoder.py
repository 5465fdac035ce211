"""Any sentence-transformers cross-encoder as Reranker, by folder or Hugging Face name."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from infra.adapters.sentence_models import SentenceModel, compute, find_sentence_model, require_library, torch_threads
from tasks.core.errors import BadSetting, IntegrityFailure

FEW = 4  # up to this many texts run on one thread: more threads than free cores make them slower


class CrossEncoderReranker:
    """Reranker. Loaded at first use; safe to use from several threads, which take turns.

    A score is the model's logit, not its sigmoid: in float32 that is 1 for every text that fits well.
    """

    def __init__(self, name: str, *, threads: int = 0) -> None:
        """threads: for torch on a CPU; 0 leaves its own number."""
        self._name = name
        self._threads = threads
        self._one_at_a_time = threading.RLock()

    @cached_property
    def fingerprint(self) -> str:
        parts = (self._source.digest, compute()[1])
        return f"cross-{hashlib.sha256('; '.join(parts).encode()).hexdigest()[:16]}"

    def score(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """Raises BadSetting when the model does not give one score per pair."""
        if not texts:
            return []
        import torch

        pairs = [(question, text) for text in texts]
        with self._one_at_a_time, torch_threads(1 if len(texts) <= FEW else self._threads):
            found = self._model.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False)
        if not np.isfinite(found).all():
            raise IntegrityFailure(f"{self._name} gave scores that are not numbers: its weights are damaged.")
        return [float(value) for value in found]

    @cached_property
    def _source(self) -> SentenceModel:
        require_library(self._name)
        return find_sentence_model(self._name)

    @cached_property
    def _model(self) -> Any:
        with self._one_at_a_time:
            _require_head(self._source)
            return _load(self._source)


def _require_head(source: SentenceModel) -> None:
    """Any encoder would load, with a head of random numbers."""
    config = source.folder / "config.json"
    known = json.loads(config.read_bytes()).get("architectures") or [] if config.is_file() else []
    trained = any(name.endswith("ForSequenceClassification") for name in known)
    if not trained and not _is_cross_encoder(source):
        raise BadSetting(
            f"{source.name} is no cross-encoder: it is {', '.join(known) or 'an unknown model'}, without trained "
            "scores. Choose a model made for reranking, such as cross-encoder/ms-marco-MiniLM-L6-v2.",
            model=source.name,
        )


def _is_cross_encoder(source: SentenceModel) -> bool:
    saved = source.folder / "config_sentence_transformers.json"
    return saved.is_file() and json.loads(saved.read_bytes()).get("model_type") == "CrossEncoder"


def _load(source: SentenceModel) -> Any:
    import torch
    from sentence_transformers import CrossEncoder
    from transformers.utils import logging

    logging.disable_progress_bar()
    model = CrossEncoder(
        str(source.folder),
        device=compute()[0],
        local_files_only=True,
        model_kwargs={"dtype": torch.float32, "use_safetensors": True},
    )
    if model.num_labels != 1:
        raise BadSetting(
            f"{source.name} gives {model.num_labels} numbers per pair; a reranker gives one. Choose a model made for "
            "reranking, such as cross-encoder/ms-marco-MiniLM-L6-v2.",
            model=source.name,
        )
    return model
