"""A vector index that loses a part of what is put into it, on top of a real one."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tasks.core.changes import Turnover
from tasks.core.documents import Hit, IndexedLife
from tasks.core.ports import VectorIndex
from tasks.core.releases import RetrievalSettings

if TYPE_CHECKING:
    from tasks.core.ports import Vectors


@dataclass
class FaultyIndex:
    """VectorIndex that drops lives at random, the same ones for the same seed and order of calls.

    share: of the lives of each put that never arrive, 0 to 1. says_so: whether they are returned as not confirmed; a
    store that lies confirms what it lost. puts_that_fail: how many puts lose anything before the store is well again.
    """

    whole: VectorIndex
    share: float = 0.05
    says_so: bool = True
    puts_that_fail: int | None = None
    seed: int = 1
    lost: list[IndexedLife] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._draw = random.Random(self.seed)
        self._puts = 0

    @property
    def exact(self) -> bool:
        return self.whole.exact

    def put(self, collection: str, lives: Sequence[IndexedLife], token: int) -> Sequence[IndexedLife]:
        self._puts += 1
        fails = self.puts_that_fail is None or self._puts <= self.puts_that_fail
        dropped = [life for life in lives if fails and self._draw.random() < self.share]
        self.lost += dropped
        unconfirmed = self.whole.put(collection, [life for life in lives if life not in dropped], token)
        return [*unconfirmed, *dropped] if self.says_so else unconfirmed

    def stamp(self, collection: str) -> str | None:
        return self.whole.stamp(collection)

    def claim(self, collection: str, stamp: str, token: int) -> None:
        self.whole.claim(collection, stamp, token)

    def undo(self, collection: str, snapshot: int, token: int) -> None:
        self.whole.undo(collection, snapshot, token)

    def turnover(self, collection: str, snapshot: int) -> Turnover:
        return self.whole.turnover(collection, snapshot)

    def count(self, collection: str, snapshot: int) -> int:
        return self.whole.count(collection, snapshot)

    def chunk_ids(self, collection: str, snapshot: int) -> set[str]:
        return self.whole.chunk_ids(collection, snapshot)

    def search(
        self, collection: str, snapshot: int, text: str, vector: Vectors, settings: RetrievalSettings
    ) -> list[Hit]:
        return self.whole.search(collection, snapshot, text, vector, settings)

    def reclaim(self, collection: str, keep_snapshots: Sequence[int], token: int) -> int:
        return self.whole.reclaim(collection, keep_snapshots, token)

    def drop(self, collection: str, token: int) -> None:
        self.whole.drop(collection, token)
