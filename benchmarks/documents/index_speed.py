"""How fast the embedded index and the pipeline around it are, without a model.

    .venv/bin/python benchmarks/documents/index_speed.py                     # small: a minute
    .venv/bin/python benchmarks/documents/index_speed.py --chunks 50000 --files 3000

The index alone: publishing a change of 1 % of the chunks, and searching, warm and cold. The pipeline: chunks a second,
a run without changes, and whether an edit of the same size takes longer in a corpus ten times as large.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from corpus import WORDS, generate
from counting import CountingEmbedder, vectors_of
from measured import peak_rss_mib
from ratchet_bench import PlainMarkdown, ingest, open_bench

from infra.adapters.embedded_index import EmbeddedIndex
from tasks.core.documents import Chunk, IndexedLife
from tasks.core.releases import RetrievalSettings
from tasks.documents import DocumentsBench, holding_lease, plan, read
from tasks.snapshots import build, embed, publish
from tasks.sources import resolve_sources, scan

COLLECTION, STAMP, TOKEN = "bench", "benchmark", 1
BATCH = 500
EDITED_FILES = 3
GROWTH = 10
GROWTH_LIMIT = 1.3

Numbers = dict[str, float]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=5000, help="in the index alone")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--files", type=int, default=300, help="of the larger corpus; the smaller has a tenth")
    parser.add_argument("--chunks-per-file", type=int, default=10)
    parser.add_argument("--repeat", type=int, default=5, help="edits per corpus; the median counts")
    parser.add_argument("--output", type=Path, help="where to write the numbers as JSON")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        numbers = _index_alone(Path(scratch), options.chunks)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:  # as a service that only reads
            numbers |= fresh.submit(_searching, Path(scratch), options.queries).result()
        small = _pipeline(Path(scratch, "small"), options.files // GROWTH, options.chunks_per_file, options.repeat)
        large = _pipeline(Path(scratch, "large"), options.files, options.chunks_per_file, options.repeat)
    numbers |= large.as_numbers("")
    numbers |= small.as_numbers("tenth_")
    numbers["edit_growth"] = large.edit_seconds / small.edit_seconds
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(numbers, indent=1) + "\n")
    print("\n".join(["| | |", "| --- | ---: |", *(f"| {name} | {value:,.4g} |" for name, value in numbers.items())]))
    if numbers["edit_growth"] > GROWTH_LIMIT:
        print(f"An edit grows with the corpus: {numbers['edit_growth']:.2f} > {GROWTH_LIMIT}.", file=sys.stderr)


# ── the index alone ──────────────────────────────────────────────────────────────────────────────────────────────────


def _index_alone(folder: Path, chunks: int) -> Numbers:
    chance = random.Random(3)
    index = EmbeddedIndex(folder / "index.sqlite")
    index.claim(COLLECTION, STAMP, TOKEN)
    first = [_life(chance, number, born=1) for number in range(chunks)]
    fill_seconds = _put(index, first)
    dead = chance.sample(first, chunks // 100)
    born = [_life(chance, chunks + number, born=2) for number in range(chunks // 100)]
    churn = [*born, *(IndexedLife(life.chunk, life.vector, life.born, died=2) for life in dead)]
    churn_seconds = _put(index, churn)
    return {
        "chunks": chunks,
        "fill_chunks_per_second": chunks / fill_seconds,
        "churn_1_percent_seconds": churn_seconds,
        "index_file_mib": (folder / "index.sqlite").stat().st_size / 2**20,
    }


def _searching(folder: Path, queries: int) -> Numbers:
    """In a process of its own."""
    chance = random.Random(4)
    index = EmbeddedIndex(folder / "index.sqlite")
    settings = RetrievalSettings(k=10)
    texts = [" ".join(chance.sample(WORDS, 6)) for _ in range(queries)]
    cold, *_ = _searches(index, 2, texts[:1], settings)
    warm = sorted(_searches(index, 2, texts, settings))
    return {
        "first_search_seconds": cold,
        "hybrid_p50_ms": 1000 * warm[len(warm) // 2],
        "hybrid_p95_ms": 1000 * warm[int(len(warm) * 0.95)],
        "searching_peak_rss_mib": peak_rss_mib(),
    }


def _life(chance: random.Random, number: int, born: int) -> IndexedLife:
    text = " ".join(chance.choices(WORDS, k=160))
    chunk = Chunk(f"{number:032x}", f"page-{number // 10}.md", ("A heading",), text)
    return IndexedLife(chunk, vectors_of([text])[0].astype("<f4").tobytes(), born)


def _put(index: EmbeddedIndex, lives: Sequence[IndexedLife]) -> float:
    started = time.perf_counter()
    for start in range(0, len(lives), BATCH):
        lost = index.put(COLLECTION, lives[start : start + BATCH], TOKEN)
        assert not lost, f"{len(lost)} writes were not confirmed"
    return time.perf_counter() - started


def _searches(index: EmbeddedIndex, snapshot: int, texts: Sequence[str], settings: RetrievalSettings) -> list[float]:
    """Seconds of each search."""
    vectors = vectors_of(texts)
    seconds = []
    for text, vector in zip(texts, vectors, strict=True):
        started = time.perf_counter()
        hits = index.search(COLLECTION, snapshot, text, vector, settings)
        seconds.append(time.perf_counter() - started)
        assert len(hits) == settings.k
    return seconds


# ── the pipeline ─────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Pipeline:
    """One corpus: first run, run without changes, and the median edit after its scan."""

    files: int
    chunks: int
    first_seconds: float
    no_change_seconds: float
    edit_scan_seconds: float
    edit_seconds: float

    def as_numbers(self, prefix: str) -> Numbers:
        return {
            f"{prefix}files": self.files,
            f"{prefix}pipeline_chunks": self.chunks,
            f"{prefix}pipeline_chunks_per_second": self.chunks / self.first_seconds,
            f"{prefix}no_change_seconds": self.no_change_seconds,
            f"{prefix}edit_scan_seconds": self.edit_scan_seconds,
            f"{prefix}edit_after_scan_seconds": self.edit_seconds,
        }


def _pipeline(folder: Path, files: int, chunks_per_file: int, repeat: int) -> Pipeline:
    corpus = generate(folder / "pages", files, chunks_per_file)
    time.sleep(2.1)  # until the times of the files can be trusted
    bench = open_bench(folder / "home", CountingEmbedder(folder / "embedded.log"), PlainMarkdown())
    first = ingest(bench, corpus.root)
    no_change = ingest(bench, corpus.root)
    assert not no_change.is_new
    # The same pages in both corpora: those that no generator's share of the files decides.
    pages = sorted(path for path in corpus.root.rglob("*.md") if path.stat().st_size < 12_000)[:EDITED_FILES]
    edits = [_edit(bench, corpus.root, pages, number) for number in range(repeat)]
    return Pipeline(
        files=files,
        chunks=first.chunks["live"],
        first_seconds=first.seconds,
        no_change_seconds=no_change.seconds,
        edit_scan_seconds=float(np.median([scanning for scanning, _ in edits])),
        edit_seconds=float(np.median([rest for _, rest in edits])),
    )


def _edit(bench: DocumentsBench, folder: Path, pages: Sequence[Path], number: int) -> tuple[float, float]:
    """Adds a paragraph to each page and ingests: (seconds of the scan, seconds of the rest)."""
    for page in pages:
        page.write_text(f"{page.read_text(encoding='utf-8')}\nEdit {number} of {page.name}.\n", encoding="utf-8")
    with holding_lease(bench) as lease:
        started = time.perf_counter()
        found = scan(bench, resolve_sources(bench, str(folder)))
        scanned = time.perf_counter()
        embedded = embed(bench, read(bench, plan(bench, found), lease), lease)
        report = publish(bench, build(bench, embedded, lease), lease)
        ended = time.perf_counter()
    assert report.documents["changed"] == len(pages)
    return scanned - started, ended - scanned


if __name__ == "__main__":
    main()
