"""An embedder for one piece of work in which the same questions are embedded several times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasks.core.ports import Embedder, Vectors


class RememberedQuestions:
    """Embedder: another one, asked for each question once. Texts are embedded every time."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._known: dict[str, Vectors] = {}

    @property
    def fingerprint(self) -> str:
        return self._embedder.fingerprint

    @property
    def dimensions(self) -> int:
        return self._embedder.dimensions

    @property
    def counts_tokens_exactly(self) -> bool:
        return self._embedder.counts_tokens_exactly

    @property
    def usd_per_million_tokens(self) -> float:
        return self._embedder.usd_per_million_tokens

    def embed(self, texts: Sequence[str]) -> Vectors:
        return self._embedder.embed(texts)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        import numpy as np

        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            self._known |= zip(new, self._embedder.embed_queries(new), strict=True)
        return np.stack([self._known[text] for text in texts]) if texts else self._embedder.embed_queries(texts)

    def count_tokens(self, texts: Sequence[str]) -> int:
        return self._embedder.count_tokens(texts)
