"""A view finds exactly what scoring every chunk by hand would find."""

from __future__ import annotations

import json
import math
import random
from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from infra.adapters.embedded_view import BLOCK, SnapshotView, pack_words
from tasks.core.releases import RetrievalSettings
from tasks.core.retrieval import candidates_wanted, ranked, terms

DIMENSIONS = 8
VOCABULARY = [f"word{n}" for n in range(40)]
Row = tuple[int, bytes, bytes, str, str]


def unit(draw: random.Random) -> NDArray[np.float32]:
    vector = np.array([draw.gauss(0, 1) for _ in range(DIMENSIONS)])
    return (vector / np.linalg.norm(vector)).astype("<f4")


class Shelf:
    """Chunks of which every tenth is a twin of the one before, beside what a reader would count."""

    def __init__(self, count: int) -> None:
        draw = random.Random(count)
        self.texts: list[str] = []
        self.vectors: list[NDArray[np.float32]] = []
        for n in range(count):
            twin = n % 10 == 9
            weights = [1 / (i + 1) for i in range(40)]
            text = " ".join(draw.choices(VOCABULARY, weights=weights, k=draw.randint(3, 12)))
            self.texts.append(self.texts[-1] if twin else text)
            self.vectors.append(self.vectors[-1] if twin else unit(draw))

    @property
    def rows(self) -> list[Row]:
        return [
            (1000 + n, pack_words(text), vector.tobytes(), f"page-{n % 7}.md", json.dumps(["Part", str(n % 5)]))
            for n, (text, vector) in enumerate(zip(self.texts, self.vectors, strict=True))
        ]

    def cosine(self, row: int, question: NDArray[np.float32]) -> float:
        products = [float(a) * float(b) for a, b in zip(self.vectors[row], question, strict=True)]
        return round(math.fsum(products), 6)

    def bm25(self, text: str) -> dict[int, float]:
        counts = [Counter(terms(one)) for one in self.texts]
        average = sum(one.total() for one in counts) / len(counts)
        scores: dict[int, float] = {}
        for word in sorted(set(terms(text))):
            containing = [n for n, one in enumerate(counts) if word in one]
            idf = math.log(1 + (len(counts) - len(containing) + 0.5) / (len(containing) + 0.5))
            for n in containing:
                norm = 1.2 * (0.25 + 0.75 * counts[n].total() / average)
                scores[n] = scores.get(n, 0.0) + idf * counts[n][word] * 2.2 / (counts[n][word] + norm)
        return scores


@pytest.mark.parametrize("fusion", ["rrf", "blend", "vector", "bm25"])
@pytest.mark.parametrize("filters", [{}, {"documents": ("page-[35].md",)}, {"headings": ("4",), "candidates": 3}])
def test_what_is_found_is_what_scoring_every_chunk_finds(fusion: str, filters: dict[str, object]) -> None:
    shelf, draw = Shelf(300), random.Random(5)
    view = SnapshotView(iter(shelf.rows))
    settings = RetrievalSettings.model_validate({"k": 7, "fusion": fusion, "candidates": 20} | filters)
    admitted = [n for n in range(300) if settings.admits(f"page-{n % 7}.md", ["Part", str(n % 5)])]
    assert 0 < len(admitted) <= 300
    for _ in range(20):
        text, question = " ".join(draw.choices(VOCABULARY, k=4)), unit(draw)
        keyword = {n: score for n, score in shelf.bm25(text).items() if n in admitted}
        expected = ranked(list(keyword.items()), [(n, shelf.cosine(n, question)) for n in admitted], settings)
        found = view.search(text, question, settings)
        assert [one.rowid - 1000 for one in found] == [n for n, _ in expected]
        assert [one.score for one in found] == pytest.approx([score for _, score in expected])
        assert [one.similarity for one in found] == [shelf.cosine(n, question) for n, _ in expected]


def test_more_twins_than_a_block_holds_are_ordered_by_row() -> None:
    count = BLOCK + 50
    vector = unit(random.Random(1))
    view = SnapshotView((n, pack_words("same"), vector.tobytes(), "a.md", "[]") for n in range(count))
    for fusion in ("vector", "bm25", "rrf", "blend"):
        found = view.search("same", vector, RetrievalSettings.model_validate({"k": 3, "fusion": fusion}))
        assert [one.rowid for one in found] == [0, 1, 2]
        assert [one.similarity for one in found] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("fusion", ["rrf", "blend", "vector", "bm25"])
def test_nothing_is_found_where_nothing_is(fusion: str) -> None:
    settings = RetrievalSettings.model_validate({"fusion": fusion})
    question = unit(random.Random(1))
    assert SnapshotView([]).search("word", question, settings) == []
    wordless = SnapshotView([(1, b"", question.tobytes(), "a.md", "[]")])
    assert [one.rowid for one in wordless.search("word", question, settings)] == ([] if fusion == "bm25" else [1])


def test_fewer_chunks_than_candidates_are_all_ranked() -> None:
    shelf = Shelf(5)
    settings = RetrievalSettings(k=5)
    assert candidates_wanted(settings) > 5
    assert len(SnapshotView(shelf.rows).search("word0", shelf.vectors[0], settings)) == 5
