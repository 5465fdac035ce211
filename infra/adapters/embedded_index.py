"""The vector index without a server: chunks and vectors in one SQLite file, searched exactly with numpy."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from infra.adapters.embedded_view import SnapshotView, pack_words
from tasks.core.changes import Turnover
from tasks.core.documents import Chunk, Hit, IndexedLife
from tasks.core.errors import IndexUnavailable, LeaseLost
from tasks.core.retrieval import WORDS_RULE

if TYPE_CHECKING:
    from tasks.core.ports import Vectors
    from tasks.core.releases import RetrievalSettings

VIEWS_KEPT = 3  # snapshots held in memory, 2 MB per thousand chunks each: current, candidate, and one more
BUSY_SECONDS = 30
LAYOUT = 2  # raise whenever what is stored means something else: an older file is refilled from the catalog
FORMAT = 1000 * LAYOUT + WORDS_RULE

SCHEMA = """
CREATE TABLE chunks (
    collection TEXT NOT NULL, id TEXT NOT NULL, born INTEGER NOT NULL, died INTEGER,
    document TEXT NOT NULL, heading_path TEXT NOT NULL, text TEXT NOT NULL, page INTEGER,
    words BLOB NOT NULL, vector BLOB NOT NULL, UNIQUE (collection, id, born));
CREATE INDEX births ON chunks (collection, born, died, id);
CREATE INDEX deaths ON chunks (collection, died, id) WHERE died IS NOT NULL;
CREATE TABLE collections (name TEXT PRIMARY KEY, stamp TEXT NOT NULL, token INTEGER NOT NULL);
-- How often anything born or dead at a snapshot was written: a view in memory is good while the sum up to its
-- snapshot stays the same, in whichever process the write was.
CREATE TABLE writes (
    collection TEXT NOT NULL, snapshot INTEGER NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (collection, snapshot));
"""
ALIVE = "collection = :collection AND born <= :snapshot AND (died IS NULL OR died > :snapshot)"


class EmbeddedIndex:
    """VectorIndex in one file. Safe to use from several threads and processes: readers never wait for a writer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._views: OrderedDict[tuple[str, int], tuple[int, SnapshotView]] = OrderedDict()
        self._loading = threading.Lock()
        self._idle: sqlite3.Connection | None = None

    @property
    def exact(self) -> bool:
        return True

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def claim(self, collection: str, stamp: str, token: int) -> None:
        with self._open(to_write=True) as db, _transaction(db):
            found = db.execute("SELECT stamp FROM collections WHERE name = ?", (collection,)).fetchone()
            if found == (stamp,):
                self._check_fence(db, collection, token)
            else:  # another installation's, whose tokens say nothing about this one's runs
                db.execute("DELETE FROM chunks WHERE collection = ?", (collection,))
                _count_write(db, collection, 0)
            db.execute("INSERT OR REPLACE INTO collections VALUES (?, ?, ?)", (collection, stamp, token))

    def put(self, collection: str, lives: Sequence[IndexedLife], token: int) -> Sequence[IndexedLife]:
        rows = [_row(collection, life) for life in lives]
        with self._fenced(collection, token) as db:
            db.executemany(
                "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (collection, id, born) DO UPDATE SET died = excluded.died, vector = excluded.vector",
                rows,
            )
            for snapshot in {life.born for life in lives} | {life.died for life in lives if life.died is not None}:
                _count_write(db, collection, snapshot)
            return _not_stored(db, collection, lives)

    def undo(self, collection: str, snapshot: int, token: int) -> None:
        with self._fenced(collection, token) as db:
            gone = db.execute("DELETE FROM chunks WHERE collection = ? AND born >= ?", (collection, snapshot)).rowcount
            back = db.execute(
                "UPDATE chunks SET died = NULL WHERE collection = ? AND died >= ?", (collection, snapshot)
            ).rowcount
            if gone or back:
                _count_write(db, collection, snapshot)

    def reclaim(self, collection: str, keep_snapshots: Sequence[int], token: int) -> int:
        if not keep_snapshots:
            return 0
        readable = " OR ".join(["(born <= ? AND died > ?)"] * len(keep_snapshots))
        values = [value for number in keep_snapshots for value in (number, number)]
        with self._fenced(collection, token) as db:
            gone = db.execute(
                f"DELETE FROM chunks WHERE collection = ? AND died IS NOT NULL AND died <= ? AND NOT ({readable})",
                (collection, max(keep_snapshots), *values),
            ).rowcount
            if gone:
                _count_write(db, collection, 0)
            return gone

    def drop(self, collection: str, token: int) -> None:
        with self._fenced(collection, token) as db:
            for table, column in (("chunks", "collection"), ("writes", "collection"), ("collections", "name")):
                db.execute(f"DELETE FROM {table} WHERE {column} = ?", (collection,))

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def stamp(self, collection: str) -> str | None:
        with self._open(to_write=None) as db:
            if db.execute("PRAGMA user_version").fetchone() != (FORMAT,):
                return None
            found = db.execute("SELECT stamp FROM collections WHERE name = ?", (collection,)).fetchone()
            return found[0] if found else None

    def turnover(self, collection: str, snapshot: int) -> Turnover:
        with self._open() as db, _one_state(db):
            born, died = (
                db.execute(
                    f"SELECT id FROM chunks WHERE collection = ? AND {when} = ? ORDER BY id", (collection, snapshot)
                )
                for when in ("born", "died")
            )
            return Turnover(tuple(row[0] for row in born), tuple(row[0] for row in died))

    def count(self, collection: str, snapshot: int) -> int:
        with self._open() as db:
            query = f"SELECT count(*) FROM chunks WHERE {ALIVE}"
            return int(db.execute(query, {"collection": collection, "snapshot": snapshot}).fetchone()[0])

    def chunk_ids(self, collection: str, snapshot: int) -> set[str]:
        with self._open() as db:
            found = db.execute(f"SELECT id FROM chunks WHERE {ALIVE}", {"collection": collection, "snapshot": snapshot})
            return {row[0] for row in found}

    def search(
        self, collection: str, snapshot: int, text: str, vector: Vectors, settings: RetrievalSettings
    ) -> list[Hit]:
        with self._open() as db, _one_state(db):
            if db.execute("SELECT 1 FROM collections WHERE name = ?", (collection,)).fetchone() is None:
                raise _gone(self._path, collection)
            view = self._view(db, collection, snapshot)
            found = view.search(text, vector, settings)
            return [Hit(_chunk(db, hit.rowid), hit.score, hit.similarity) for hit in found]

    def _view(self, db: sqlite3.Connection, collection: str, snapshot: int) -> SnapshotView:
        key = (collection, snapshot)
        query = "SELECT coalesce(sum(count), 0) FROM writes WHERE collection = ? AND snapshot <= ?"
        (writes,) = db.execute(query, key).fetchone()
        with self._loading:
            known = self._views.get(key)
            if known is None or known[0] != writes:
                columns = "rowid, words, vector, document, heading_path"
                query = f"SELECT {columns} FROM chunks WHERE {ALIVE} ORDER BY id"
                rows = db.execute(query, {"collection": collection, "snapshot": snapshot})
                known = self._views[key] = (writes, SnapshotView(rows))
            self._views.move_to_end(key)
            while len(self._views) > VIEWS_KEPT:
                self._views.popitem(last=False)
            return known[1]

    def close(self) -> None:
        """Gives the file back; the next call opens it again."""
        idle, self._idle = self._idle, None
        if idle is not None:
            idle.close()

    # ── the file ─────────────────────────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def _open(self, *, to_write: bool | None = False) -> Iterator[sqlite3.Connection]:
        """A connection of one call's own: opening costs a tenth of a millisecond and is safe from every thread.

        to_write: makes the tables in the place of an older version's. Whoever reads must not; None does not even look.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)
        except (sqlite3.Error, OSError) as error:
            raise IndexUnavailable(f"The index {self._path} cannot be opened: {error}.") from error
        try:
            if to_write is not None:
                _prepare(db, self._path, to_write=to_write)
            db.execute("PRAGMA synchronous = NORMAL")
            if self._idle is None:
                # Whoever closes the last connection copies the write-ahead log back, which costs more than a query.
                self._idle = sqlite3.connect(self._path, timeout=BUSY_SECONDS, check_same_thread=False)
                self._idle.execute("PRAGMA user_version")
            yield db
        except sqlite3.Error as error:
            raise IndexUnavailable(
                f"The index {self._path} failed: {error}. If the file is damaged, delete it and re-ingest: it is "
                "refilled from the catalog, and nothing is embedded again."
            ) from error
        finally:
            db.close()

    @contextmanager
    def _fenced(self, collection: str, token: int) -> Iterator[sqlite3.Connection]:
        """A transaction that writes for `token`, or none at all. Raises LeaseLost when a newer run came by."""
        with self._open(to_write=True) as db, _transaction(db):
            self._check_fence(db, collection, token)
            yield db

    def _check_fence(self, db: sqlite3.Connection, collection: str, token: int) -> None:
        (fence,) = db.execute(
            "SELECT coalesce(max(token), 0) FROM collections WHERE name = ?", (collection,)
        ).fetchone()
        if token < fence:
            raise LeaseLost(
                f"A newer run writes to {collection} (token {fence}, this run's is {token}). This run stopped; "
                "nothing it wrote can be seen. Run again, and if the catalog was deleted or restored from a "
                f"backup, delete {self._path} as well: it is rebuilt from the catalog.",
                token=token,
                fence=fence,
            )


def _gone(path: Path, collection: str) -> IndexUnavailable:
    return IndexUnavailable(
        f"The index {path} has no collection {collection}: it was deleted, or is another one. "
        "Run `ratchet ingest`: it is refilled from the catalog, and nothing is embedded again.",
        collection=collection,
    )


def _prepare(db: sqlite3.Connection, path: Path, *, to_write: bool) -> None:
    """Makes the tables of a new file, and for a writer also in the place of those that an older version wrote."""
    (found,) = db.execute("PRAGMA user_version").fetchone()
    if found == FORMAT:
        return
    if found > FORMAT or (found and not to_write):
        newer = "a newer version of Ratchet: upgrade this one"
        older = "an older version of Ratchet. Run `ratchet ingest`: it is refilled, and nothing is embedded again"
        raise IndexUnavailable(f"The index {path} was written by {newer if found > FORMAT else older}.", found=found)
    db.execute("PRAGMA journal_mode = WAL")
    with _transaction(db):
        if db.execute("PRAGMA user_version").fetchone() == (FORMAT,):
            return
        for table in ("chunks", "fences", "collections", "writes"):
            db.execute(f"DROP TABLE IF EXISTS {table}")
        for statement in SCHEMA.split(";\n"):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {FORMAT}")


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


@contextmanager
def _one_state(db: sqlite3.Connection) -> Iterator[None]:
    """Every query inside sees the file as it was at the first one."""
    db.execute("BEGIN")
    yield
    db.execute("COMMIT")


_JSON = json.JSONEncoder(ensure_ascii=False)


def _row(collection: str, life: IndexedLife) -> tuple[object, ...]:
    chunk = life.chunk
    path = _JSON.encode(chunk.heading_path)
    packed = pack_words(chunk.embedded_text)
    return collection, chunk.id, life.born, life.died, chunk.document, path, chunk.text, chunk.page, packed, life.vector


def _chunk(db: sqlite3.Connection, rowid: int) -> Chunk:
    query = "SELECT id, document, heading_path, text, page FROM chunks WHERE rowid = ?"
    chunk_id, document, path, text, page = db.execute(query, (rowid,)).fetchone()
    return Chunk(chunk_id, document, tuple(json.loads(path)), text, page)


def _count_write(db: sqlite3.Connection, collection: str, snapshot: int) -> None:
    db.execute(
        "INSERT INTO writes VALUES (?, ?, 1) ON CONFLICT (collection, snapshot) DO UPDATE SET count = count + 1",
        (collection, snapshot),
    )


def _not_stored(db: sqlite3.Connection, collection: str, lives: Sequence[IndexedLife]) -> list[IndexedLife]:
    """The lives that are not in the store as they should be: read back, and not taken from a row count."""
    query = "SELECT id, born, died FROM chunks WHERE collection = ? AND id IN (SELECT value FROM json_each(?))"
    held = set(db.execute(query, (collection, json.dumps([life.chunk.id for life in lives]))))
    return [life for life in lives if (life.chunk.id, life.born, life.died) not in held]
