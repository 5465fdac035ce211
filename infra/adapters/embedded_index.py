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
from tasks.core.documents import Chunk, Hit, IndexEntry
from tasks.core.errors import IndexUnavailable, LeaseLost

if TYPE_CHECKING:
    from tasks.core.ports import Vectors
    from tasks.core.releases import RetrievalSettings

VIEWS_KEPT = 4  # snapshots held in memory: the current release's, a candidate's, and two more
BUSY_SECONDS = 30

SCHEMA = """
CREATE TABLE IF NOT EXISTS chunks (
    collection TEXT NOT NULL, id TEXT NOT NULL, born INTEGER NOT NULL, died INTEGER,
    document TEXT NOT NULL, heading_path TEXT NOT NULL, text TEXT NOT NULL, page INTEGER,
    words BLOB NOT NULL, vector BLOB NOT NULL, UNIQUE (collection, id, born));
CREATE TABLE IF NOT EXISTS fences (collection TEXT PRIMARY KEY, token INTEGER NOT NULL);
-- How often anything born or dead at a snapshot was written: a view in memory is good while the sum up to its
-- snapshot stays the same, in whichever process the write was.
CREATE TABLE IF NOT EXISTS writes (
    collection TEXT NOT NULL, snapshot INTEGER NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (collection, snapshot));
"""
ALIVE = "collection = :collection AND born <= :snapshot AND (died IS NULL OR died > :snapshot)"


class EmbeddedIndex:
    """VectorIndex in one file. Safe to use from several threads and processes: readers never wait for a writer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._views: OrderedDict[tuple[str, int], tuple[int, SnapshotView]] = OrderedDict()
        self._loading = threading.Lock()
        self._ready = False

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def fence(self, collection: str, token: int) -> None:
        with self._fenced(collection, token) as db:
            db.execute(
                "INSERT INTO fences VALUES (?, ?) ON CONFLICT (collection) DO UPDATE SET token = excluded.token",
                (collection, token),
            )

    def insert(self, collection: str, snapshot: int, entries: Sequence[IndexEntry], token: int) -> int:
        rows = [_row(collection, snapshot, entry) for entry in entries]
        ids = [(collection, snapshot, entry.chunk.id) for entry in entries]
        with self._fenced(collection, token) as db:
            db.executemany("INSERT OR REPLACE INTO chunks VALUES (?, ?, ?, NULL, ?, ?, ?, ?, ?, ?)", rows)
            _count_write(db, collection, snapshot)
            return _confirmed(db, "born", ids)

    def bury(self, collection: str, snapshot: int, chunk_ids: Sequence[str], token: int) -> int:
        ids = [(collection, snapshot, chunk_id) for chunk_id in chunk_ids]
        with self._fenced(collection, token) as db:
            db.executemany(
                "UPDATE chunks SET died = ?2 WHERE collection = ?1 AND id = ?3 AND died IS NULL AND born < ?2", ids
            )
            _count_write(db, collection, snapshot)
            return _confirmed(db, "died", ids)

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
            _count_write(db, collection, 0)
            return gone

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def chunk_ids(self, collection: str, snapshot: int) -> set[str]:
        with self._open() as db:
            found = db.execute(f"SELECT id FROM chunks WHERE {ALIVE}", {"collection": collection, "snapshot": snapshot})
            return {row[0] for row in found}

    def search(
        self, collection: str, snapshot: int, text: str, vector: Vectors, settings: RetrievalSettings
    ) -> list[Hit]:
        with self._open() as db, _one_state(db):
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
                query = f"SELECT rowid, words, vector FROM chunks WHERE {ALIVE} ORDER BY id"
                rows = db.execute(query, {"collection": collection, "snapshot": snapshot}).fetchall()
                known = self._views[key] = (writes, SnapshotView(rows))
            self._views.move_to_end(key)
            while len(self._views) > VIEWS_KEPT:
                self._views.popitem(last=False)
            return known[1]

    # ── the file ─────────────────────────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection of one call's own: opening costs a tenth of a millisecond and is safe from every thread."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)
        except (sqlite3.Error, OSError) as error:
            raise IndexUnavailable(f"The index {self._path} cannot be opened: {error}.") from error
        try:
            if not self._ready:
                db.execute("PRAGMA journal_mode = WAL")
                db.executescript(SCHEMA)
                self._ready = True
            db.execute("PRAGMA synchronous = NORMAL")
            yield db
        except sqlite3.Error as error:
            raise IndexUnavailable(f"The index {self._path} failed: {error}.") from error
        finally:
            db.close()

    @contextmanager
    def _fenced(self, collection: str, token: int) -> Iterator[sqlite3.Connection]:
        """A transaction that writes for `token`, or none at all. Raises LeaseLost when a newer run came by."""
        with self._open() as db, _transaction(db):
            (fence,) = db.execute(
                "SELECT coalesce(max(token), 0) FROM fences WHERE collection = ?", (collection,)
            ).fetchone()
            if token < fence:
                raise LeaseLost(
                    f"A newer run writes to {collection} (token {fence}, this run's is {token}). This run stopped; "
                    "nothing it wrote can be seen. Run again, and if the catalog was deleted or restored from a "
                    f"backup, delete {self._path} as well: it is rebuilt from the catalog.",
                    token=token,
                    fence=fence,
                )
            yield db


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


def _row(collection: str, snapshot: int, entry: IndexEntry) -> tuple[object, ...]:
    chunk = entry.chunk
    path = json.dumps(chunk.heading_path, ensure_ascii=False)
    packed = pack_words(chunk.embedded_text)
    return collection, chunk.id, snapshot, chunk.document, path, chunk.text, chunk.page, packed, entry.vector


def _chunk(db: sqlite3.Connection, rowid: int) -> Chunk:
    query = "SELECT id, document, heading_path, text, page FROM chunks WHERE rowid = ?"
    chunk_id, document, path, text, page = db.execute(query, (rowid,)).fetchone()
    return Chunk(chunk_id, document, tuple(json.loads(path)), text, page)


def _count_write(db: sqlite3.Connection, collection: str, snapshot: int) -> None:
    db.execute(
        "INSERT INTO writes VALUES (?, ?, 1) ON CONFLICT (collection, snapshot) DO UPDATE SET count = count + 1",
        (collection, snapshot),
    )


def _confirmed(db: sqlite3.Connection, column: str, ids: Sequence[tuple[str, int, str]]) -> int:
    """How many of the objects are in the store as they should be, read back and not taken from a row count."""
    query = f"SELECT count(*) FROM chunks WHERE collection = ? AND {column} = ? AND id = ?"
    return sum(db.execute(query, key).fetchone()[0] for key in ids)
