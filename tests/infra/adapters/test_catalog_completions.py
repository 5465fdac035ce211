"""Completions kept in the catalog."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from infra.adapters.catalog.completions import CatalogCompletions
from tasks.core.ports import Completion


@pytest.fixture
def completions(catalog_engine: Engine) -> CatalogCompletions:
    return CatalogCompletions(catalog_engine)


def some(count: int) -> dict[str, Completion]:
    return {f"{n:064x}": Completion(f"Text {n}.", 100 + n, n) for n in range(count)}


def test_what_is_put_is_found_however_many(completions: CatalogCompletions) -> None:
    completions.put_many(some(1201))
    assert completions.get_many([*some(1201), "f" * 64]) == some(1201)


def test_putting_again_changes_nothing(completions: CatalogCompletions) -> None:
    completions.put_many(some(2))
    completions.put_many({f"{0:064x}": Completion("Other.", 1, 1), **{f"{5:064x}": Completion("New.", 1, 1)}})
    assert completions.get_many([f"{0:064x}", f"{5:064x}"]) == {
        f"{0:064x}": some(1)[f"{0:064x}"],
        f"{5:064x}": Completion("New.", 1, 1),
    }


def test_nothing_asked_or_put_is_nothing(completions: CatalogCompletions) -> None:
    completions.put_many({})
    assert completions.get_many([]) == {}
