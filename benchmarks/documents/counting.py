"""The embedder every tool is measured with: deterministic, nearly free, and it writes down how many texts it got."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DIMENSIONS = 384


class CountingEmbedder:
    """A text's vector is its hash, spread over 384 numbers and made unit length.

    milliseconds_per_text: how long a text takes, as a real model would; 0 measures the tool alone.
    """

    def __init__(self, log: Path, milliseconds_per_text: float = 0) -> None:
        self._log = log
        self._milliseconds_per_text = milliseconds_per_text
        self._one_at_a_time = threading.Lock()

    @property
    def fingerprint(self) -> str:
        return "counting-1"

    @property
    def dimensions(self) -> int:
        return DIMENSIONS

    @property
    def counts_tokens_exactly(self) -> bool:
        return True

    @property
    def usd_per_million_tokens(self) -> float:
        return 0.0

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n_texts, 384) float32, unit length."""
        with self._one_at_a_time, self._log.open("a") as log:
            log.write(f"{len(texts)}\n")
        if self._milliseconds_per_text:
            time.sleep(self._milliseconds_per_text * len(texts) / 1000)
        return vectors_of(texts)

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return vectors_of(texts)

    def count_tokens(self, texts: Sequence[str]) -> int:
        return sum(len(text) for text in texts) // 4


def vectors_of(texts: Sequence[str]) -> NDArray[np.float32]:
    """The vectors alone, without writing anything down."""
    spread = [np.frombuffer(hashlib.shake_128(text.encode()).digest(DIMENSIONS), dtype=np.uint8) for text in texts]
    numbers = np.array(spread, dtype=np.float32).reshape(len(texts), DIMENSIONS) - 127.5
    unit: NDArray[np.float32] = numbers / np.linalg.norm(numbers, axis=1, keepdims=True)
    return unit


def texts_embedded(log: Path) -> int:
    """How many texts were given to every embedder that writes to this log."""
    return sum(int(line) for line in log.read_text().split()) if log.exists() else 0
