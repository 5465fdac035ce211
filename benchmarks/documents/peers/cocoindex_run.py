"""One ingestion by CocoIndex: its own engine's local state, and rows in SQLite.

The flow is that of its text-embedding example with the SQLite target, the lightest of its targets that needs no
server; like its own embedders, ours is memoised by text (within a file, as CocoIndex memoises) and batched by 64.
Vectors are stored as bytes: its vector columns want a Python whose sqlite3 loads extensions, and many do not.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePath

import cocoindex as coco
import numpy as np
from cocoindex.connectors import localfs, sqlite
from cocoindex.ops.text import RecursiveSplitter
from cocoindex.resources.chunk import Chunk
from cocoindex.resources.file import FileLike, PatternFilePathMatcher
from cocoindex.resources.id import IdGenerator
from counting import CountingEmbedder
from measured import Job, run
from numpy.typing import NDArray

CHUNK_BYTES = 1000
DEFAULT_OVERLAP = 250  # as much of a chunk as its example's 500 of 2,000

SPLITTER = RecursiveSplitter()


class CountedEmbeddings:
    """The counting embedder as CocoIndex's own embedders are made."""

    def __init__(self, embedder: CountingEmbedder) -> None:
        self._embedder = embedder

    @coco.fn.as_async(batching=True, max_batch_size=64)
    def _embed(self, texts: list[str]) -> list[NDArray[np.float32]]:
        return list(self._embedder.embed(texts))

    @coco.fn(memo=True, version=1, logic_tracking="self")
    async def embed(self, text: str) -> NDArray[np.float32]:
        return await self._embed(text)

    def __coco_memo_key__(self) -> object:
        return self._embedder.fingerprint


ROWS = coco.ContextKey[sqlite.ManagedConnection]("rows")
EMBEDDER = coco.ContextKey[CountedEmbeddings]("embedder")


@dataclass
class Row:
    """One chunk in the table."""

    id: int
    filename: str
    text: str
    embedding: bytes  # float32, little-endian


@coco.fn
async def process_chunk(chunk: Chunk, filename: PurePath, ids: IdGenerator, table: sqlite.TableTarget[Row]) -> None:
    """One row."""
    vector = await coco.use_context(EMBEDDER).embed(chunk.text)
    table.declare_row(row=Row(await ids.next_id(chunk.text), filename.as_posix(), chunk.text, vector.tobytes()))


@coco.fn(memo=True)
async def process_file(file: FileLike[Path], overlap: int, table: sqlite.TableTarget[Row]) -> None:
    """The rows of one file."""
    text = await file.read_text()
    chunks = SPLITTER.split(text, chunk_size=CHUNK_BYTES, chunk_overlap=overlap, language="markdown")
    await coco.map(process_chunk, chunks, file.file_path.path, IdGenerator(), table)


@coco.fn
async def ingest_folder(folder: Path, overlap: int) -> None:
    """The whole table."""
    rows = await sqlite.TableSchema.from_class(Row, primary_key=["id"])
    table = await sqlite.mount_table_target(ROWS, "pages", rows)
    files = localfs.walk_dir(folder, recursive=True, path_matcher=PatternFilePathMatcher(included_patterns=["**/*.md"]))
    await coco.mount_each(process_file, files.items(), overlap, table)


class CocoIndex:
    """measured.Tool. Its engine and its target are opened at the first use of the app, so inside `ingest`."""

    def __init__(self, job: Job, embedder: CountingEmbedder) -> None:
        self._corpus = job.corpus
        self._file = job.state / "rows.sqlite"
        self._connection = sqlite.connect(self._file, load_vec=False)

        @coco.lifespan
        async def lifespan(builder: coco.EnvironmentBuilder) -> AsyncIterator[None]:
            builder.settings.db_path = job.state / "engine"
            builder.provide(ROWS, self._connection)
            builder.provide(EMBEDDER, CountedEmbeddings(embedder))
            yield

        overlap = DEFAULT_OVERLAP if job.overlap else 0
        self._app = coco.App(coco.AppConfig(name="pages"), ingest_folder, folder=job.corpus, overlap=overlap)

    def ingest(self) -> int:
        with self._connection.readonly() as db:
            before = db.total_changes
        self._app.update_blocking()
        with self._connection.readonly() as db:
            return db.total_changes - before

    def count(self) -> int:
        return int(self._ask("SELECT count(*) FROM pages")[0][0]) if self._has_table() else 0

    def documents(self) -> dict[str, int]:
        rows = self._ask("SELECT filename, count(*) FROM pages GROUP BY filename")
        return {self._name(name): int(count) for name, count in rows}

    def texts_with(self, phrase: str) -> list[tuple[str, str]]:
        if not self._has_table():
            return []
        rows = self._ask("SELECT filename, text FROM pages WHERE instr(text, ?)", phrase)
        return [(self._name(name), text) for name, text in rows]

    def _has_table(self) -> bool:
        return bool(self._ask("SELECT 1 FROM sqlite_master WHERE name = 'pages'"))

    def _ask(self, query: str, *values: str) -> list[tuple[str, str]]:
        """A reader has a connection of its own."""
        with closing(sqlite3.connect(self._file)) as db:
            return db.execute(query, values).fetchall()

    def _name(self, filename: str) -> str:
        path = Path(filename)
        return path.relative_to(self._corpus).as_posix() if path.is_absolute() else path.as_posix()


if __name__ == "__main__":
    run(CocoIndex, "cocoindex")
