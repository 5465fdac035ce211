"""The caches of the documents stage: parsed elements and vectors, each computed once in its life."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence

from sqlalchemy import Engine, insert, select

from infra.adapters.catalog import tables as t
from infra.adapters.catalog.database import reading
from tasks.core.document_catalog import Bytes
from tasks.core.documents import Element

KEYS_PER_QUERY = 500  # below the number of variables any engine allows in one statement


class CatalogDocumentCache:
    """DocumentCache on SQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def elements(self, wanted: Sequence[Bytes], parser: str) -> Mapping[Bytes, tuple[Element, ...]]:
        keys = set(wanted)
        hashes = sorted({key.content_hash for key in keys})
        found: dict[Bytes, tuple[Element, ...]] = {}
        with reading(self._engine).begin() as connection:
            for start in range(0, len(hashes), KEYS_PER_QUERY):
                part = hashes[start : start + KEYS_PER_QUERY]
                query = select(t.parses.c.content_hash, t.parses.c.kind, t.parses.c.elements)
                for row in connection.execute(
                    query.where(t.parses.c.parser == parser, t.parses.c.content_hash.in_(part))
                ):
                    key = Bytes(row.content_hash, row.kind)
                    if key in keys:
                        found[key] = tuple(Element(*one) for one in json.loads(zlib.decompress(row.elements)))
        return found

    def keep_elements(self, parsed: Mapping[Bytes, Sequence[Element]], parser: str) -> None:
        rows = [
            {"content_hash": key.content_hash, "kind": key.kind, "parser": parser, "elements": _packed(elements)}
            for key, elements in parsed.items()
        ]
        with self._engine.begin() as connection:
            hashes = [key.content_hash for key in parsed]
            query = select(t.parses.c.content_hash, t.parses.c.kind)
            known = {
                Bytes(*row)
                for row in connection.execute(
                    query.where(t.parses.c.parser == parser, t.parses.c.content_hash.in_(hashes))
                )
            }
            new = [row for row in rows if Bytes(str(row["content_hash"]), str(row["kind"])) not in known]
            if new:
                connection.execute(insert(t.parses), new)

    def missing_vectors(self, keys: Sequence[str]) -> set[str]:
        missing = set(keys)
        with reading(self._engine).begin() as connection:
            for start in range(0, len(keys), KEYS_PER_QUERY):
                part = keys[start : start + KEYS_PER_QUERY]
                missing.difference_update(connection.scalars(select(t.vectors.c.key).where(t.vectors.c.key.in_(part))))
        return missing

    def vectors(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        found: dict[str, bytes] = {}
        with reading(self._engine).begin() as connection:
            for start in range(0, len(keys), KEYS_PER_QUERY):
                part = keys[start : start + KEYS_PER_QUERY]
                query = select(t.vectors.c.key, t.vectors.c.vector).where(t.vectors.c.key.in_(part))
                found.update((row.key, row.vector) for row in connection.execute(query))
        return found

    def keep_vectors(self, vectors: Mapping[str, bytes]) -> None:
        with self._engine.begin() as connection:
            query = select(t.vectors.c.key).where(t.vectors.c.key.in_(list(vectors)))
            known = set(connection.scalars(query))
            new = [{"key": key, "vector": vector} for key, vector in vectors.items() if key not in known]
            if new:
                connection.execute(insert(t.vectors), new)


def _packed(elements: Sequence[Element]) -> bytes:
    rows = [(e.kind, e.text, e.level, e.page) for e in elements]
    return zlib.compress(json.dumps(rows, ensure_ascii=False).encode(), level=1)
