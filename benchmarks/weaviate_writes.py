"""What confirming every object costs on Weaviate, and how fast it is searched: all in one run, on one server.

    python benchmarks/weaviate_writes.py [--chunks 10000] [--dimensions 384]

The bare loop is `insert_many` over the same objects, in the same schema, with nothing checked. Births and deaths go
through the adapter: fence, write, read back, each object compared. Repeated alternately, since a shared machine drifts.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median, quantiles

import numpy as np

from infra.adapters.weaviate_connection import WeaviateConnection, WeaviateServer
from infra.adapters.weaviate_index import WeaviateIndex
from infra.adapters.weaviate_objects import object_id, to_object
from infra.adapters.weaviate_schema import Ownership, make
from infra.adapters.weaviate_writing import BATCH
from infra.deploy.weaviate_server import find_or_run
from tasks.core.documents import Chunk, IndexedLife
from tasks.core.releases import RetrievalSettings

TOKEN = 1
QUERIES = 200


def corpus(count: int, dimensions: int) -> list[IndexedLife]:
    draw, numbers = random.Random(1), np.random.default_rng(1)
    words = [f"word{n}" for n in range(5_000)]
    weights = [1 / (n + 1) for n in range(len(words))]
    vectors = numbers.standard_normal((count, dimensions)).astype("<f4")
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [
        IndexedLife(
            Chunk(f"{n:032x}", f"docs/page-{n // 10}.md", ("Pumps",), " ".join(draw.choices(words, weights, k=120))),
            vector.tobytes(),
            born=1,
        )
        for n, vector in enumerate(vectors)
    ]


def bare(connection: WeaviateConnection, lives: Sequence[IndexedLife]) -> None:
    with connection.client() as client:
        objects = client.collections.use("RatchetBare")
        for start in range(0, len(lives), BATCH):
            batch = lives[start : start + BATCH]
            objects.data.insert_many([to_object(object_id("RatchetBare", life), life) for life in batch])


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def asked(index: WeaviateIndex, lives: Sequence[IndexedLife], fusion: str) -> str:
    settings = RetrievalSettings.model_validate({"k": 10, "fusion": fusion})
    taken = []
    for life in lives[:QUERIES]:
        vector = np.frombuffer(life.vector, dtype="<f4")
        text = " ".join(life.chunk.text.split()[:6])
        taken.append(1000 * seconds(lambda text=text, vector=vector: index.search("bench", 1, text, vector, settings)))
    return f"p50 {median(taken):.1f} ms, p95 {quantiles(taken, n=20)[18]:.1f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=10_000)
    parser.add_argument("--dimensions", type=int, default=384)
    given = parser.parse_args()
    lives = corpus(given.chunks, given.dimensions)
    with tempfile.TemporaryDirectory() as folder, find_or_run(Path(folder)) as server:
        measure(WeaviateServer(server.url, server.grpc_port), lives)


def measure(server: WeaviateServer, lives: Sequence[IndexedLife]) -> None:
    index, connection = WeaviateIndex(server, "b" * 32), WeaviateConnection(server)
    with connection.client() as client:
        client.collections.delete("RatchetBare")
        make(client, "RatchetBare", Ownership("bare", TOKEN))
    index.claim("bench", "b" * 32, TOKEN)
    slices = [lives[start : start + 1_000] for start in range(0, len(lives), 1_000)]
    took = {"bare": 0.0, "births": 0.0, "deaths": 0.0}
    for part in slices:  # alternately: both meet the same machine and grow by the same steps
        took["bare"] += seconds(lambda part=part: bare(connection, part))
        took["births"] += seconds(lambda part=part: require_all(index, part))
    for part in slices:
        took["deaths"] += seconds(lambda part=part: require_all(index, [replace(life, died=2) for life in part]))
    rate = {what: len(lives) / total for what, total in took.items()}
    print(f"{len(lives):,} chunks")
    print(f"bare insert_many        {rate['bare']:8,.0f} objects/s")
    print(f"births, confirmed       {rate['births']:8,.0f} objects/s  {rate['births'] / rate['bare']:.2f} of bare")
    print(f"deaths, confirmed       {rate['deaths']:8,.0f} objects/s  {rate['deaths'] / rate['births']:.2f} of births")
    assert (index.count("bench", 1), index.count("bench", 2)) == (len(lives), 0)
    for fusion in ("rrf", "vector", "bm25"):
        print(f"search, {fusion:<6}          {asked(index, lives, fusion)}")
    index.drop("bench", TOKEN)
    with connection.client() as client:
        client.collections.delete("RatchetBare")
    index.close()
    connection.close()


def require_all(index: WeaviateIndex, lives: Sequence[IndexedLife]) -> None:
    assert not index.put("bench", lives, TOKEN)


if __name__ == "__main__":
    main()
