"""The caches of the documents stage: parsed elements and vectors, each computed once in its life."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence

from sqlalchemy import Engine, insert, select

from infra.adapters.catalog import tables as t
from infra.adapters.catalog.database import reading
from tasks.core.documents import Element

KEYS_PER_QUERY = 500  # below the number of variables any engine allows in one statement


class CatalogDocumentCache:
    """DocumentCache on SQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def elements(self, content_hash: str, parser: str, kind: str) -> tuple[Element, ...] | None:
        query = select(t.parses.c.elements).where(
            t.parses.c.content_hash == content_hash, t.parses.c.parser == parser, t.parses.c.kind == kind
        )
        with reading(self._engine).begin() as connection:
            packed = connection.scalar(query)
        return None if packed is None else tuple(Element(*row) for row in json.loads(zlib.decompress(packed)))

    def keep_elements(self, content_hash: str, parser: str, kind: str, elements: Sequence[Element]) -> None:
        if self.elements(content_hash, parser, kind) is not None:
            return
        rows = [(e.kind, e.text, e.level, e.page) for e in elements]
        packed = zlib.compress(json.dumps(rows, ensure_ascii=False).encode())
        with self._engine.begin() as connection:
            connection.execute(
                insert(t.parses).values(content_hash=content_hash, parser=parser, kind=kind, elements=packed)
            )

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
