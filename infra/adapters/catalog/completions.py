"""Completions that were paid for once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import Engine, insert, select

from infra.adapters.catalog.database import reading
from infra.adapters.catalog.tables import completions
from tasks.core.ports import Completion

_KEYS_PER_QUERY = 500


class CatalogCompletions:
    """CompletionCache on SQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get_many(self, keys: Sequence[str]) -> dict[str, Completion]:
        found: dict[str, Completion] = {}
        with reading(self._engine).begin() as connection:
            for some in _portions(keys):
                rows = connection.execute(select(completions).where(completions.c.key.in_(some)))
                found |= {row.key: Completion(row.text, row.prompt_tokens, row.completion_tokens) for row in rows}
        return found

    def put_many(self, new: Mapping[str, Completion]) -> None:
        if not new:
            return
        with self._engine.begin() as connection:
            for some in _portions(list(new)):
                known = set(connection.scalars(select(completions.c.key).where(completions.c.key.in_(some))))
                rows = [_row(key, new[key]) for key in some if key not in known]
                if rows:
                    connection.execute(insert(completions), rows)


def _portions(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    return (keys[at : at + _KEYS_PER_QUERY] for at in range(0, len(keys), _KEYS_PER_QUERY))


def _row(key: str, completion: Completion) -> dict[str, str | int]:
    return {
        "key": key,
        "text": completion.text,
        "prompt_tokens": completion.prompt_tokens,
        "completion_tokens": completion.completion_tokens,
    }
