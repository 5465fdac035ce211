"""Lives of chunks as Weaviate objects and back, and the filters that find them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import numpy as np

from tasks.core.documents import Chunk, IndexedLife
from tasks.core.retrieval import terms

if TYPE_CHECKING:
    from weaviate.classes.data import DataObject
    from weaviate.collections.classes.filters import FilterReturn
    from weaviate.collections.classes.internal import Object

    from tasks.core.ports import Vectors
    from tasks.core.releases import RetrievalSettings

    Stored = Object[Any, Any]

NAMESPACE = UUID("5a1c8f0e-6f0b-4b0e-9d3f-0c7e2b8d4a61")
CHUNK_PROPERTIES = ["chunk_id", "document", "heading_path", "text", "page", "born", "died"]

# ── objects ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def object_id(name: str, life: IndexedLife) -> UUID:
    """The one id of a life in a collection: writing it again replaces it."""
    return uuid5(NAMESPACE, "\x1f".join((name, life.chunk.id, str(life.born))))


def to_object(key: UUID, life: IndexedLife) -> DataObject[dict[str, Any], None]:
    """As it is sent."""
    from weaviate.classes.data import DataObject

    chunk = life.chunk
    properties: dict[str, Any] = {
        "born": life.born,
        "words": " ".join(terms(chunk.embedded_text)),
        "document_match": matchable(chunk.document),
        "headings_match": [matchable(heading) for heading in chunk.heading_path],
        "chunk_id": chunk.id,
        "document": chunk.document,
        "heading_path": json.dumps(chunk.heading_path, ensure_ascii=False),
        "text": chunk.text,
    }
    properties |= {name: value for name, value in (("died", life.died), ("page", chunk.page)) if value is not None}
    return DataObject(properties=properties, uuid=key, vector=np.frombuffer(life.vector, dtype="<f4").tolist())


def to_life(found: Stored) -> IndexedLife:
    """As it was put, bit by bit."""
    said = found.properties
    return IndexedLife(to_chunk(said), vector_of(found).tobytes(), int(said["born"]), _whole(said.get("died")))


def to_chunk(said: Mapping[str, Any]) -> Chunk:
    """The chunk of an object's properties."""
    return Chunk(
        str(said["chunk_id"]),
        str(said["document"]),
        tuple(json.loads(str(said["heading_path"]))),
        str(said["text"]),
        _whole(said.get("page")),
    )


def vector_of(found: Stored) -> Vectors:
    """(dimensions,) float32; the server returns it as it was sent."""
    return np.asarray(found.vector["default"], dtype="<f4")


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)


# ── filters ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def alive(snapshot: int) -> FilterReturn:
    """What a reader of a snapshot sees. `died` is absent while alive, and an absent value matches no comparison."""
    from weaviate.classes.query import Filter

    return ~Filter.by_property("born").greater_than(snapshot) & ~Filter.by_property("died").less_or_equal(snapshot)


def is_alive(said: Mapping[str, Any], snapshot: int) -> bool:
    """The same for properties that were read."""
    died = _whole(said.get("died"))
    return int(said["born"]) <= snapshot and (died is None or died > snapshot)


def unreadable(keep_snapshots: Sequence[int]) -> FilterReturn:
    """Lives over before the newest of the snapshots began that none of them can read."""
    from weaviate.classes.query import Filter

    born, died = Filter.by_property("born"), Filter.by_property("died")
    unread = [born.greater_than(number) | died.less_or_equal(number) for number in sorted(set(keep_snapshots))]
    return Filter.all_of([died.less_or_equal(max(keep_snapshots)), *unread])


def matching(settings: RetrievalSettings) -> FilterReturn | None:
    """Everything that `settings.admits`, and perhaps more: Weaviate knows `*` and `?`, but no `[…]`."""
    from weaviate.classes.query import Filter

    asked = (("document_match", settings.documents), ("headings_match", settings.headings))
    parts = [_any_like(name, globs) for name, globs in asked if globs]
    return Filter.all_of(parts) if parts else None


def _any_like(name: str, globs: Iterable[str]) -> FilterReturn:
    from weaviate.classes.query import Filter

    return Filter.any_of([Filter.by_property(name).like(like(glob)) for glob in globs])


def matchable(text: str) -> str:
    """A text as globs are matched to it: Weaviate trims what it stores, and its `*` stops at the end of a line."""
    return f"<{text.replace(chr(10), ' ')}>"


def like(glob: str) -> str:
    """The pattern of Weaviate's that matches whatever a glob does: a `[…]` becomes a `?`.

    >>> like("pumps/[ab]?-*.md")
    '<pumps/??-*.md>'
    """
    return matchable(re.sub(r"\[!?+\]?+[^\]]*+\]", "?", glob))
