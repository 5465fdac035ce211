"""Writes to one Weaviate collection that count only once they were read back, object by object."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from infra.adapters.weaviate_objects import to_object
from tasks.core.documents import IndexedLife
from tasks.core.errors import IndexIncomplete, IndexUnavailable

if TYPE_CHECKING:
    from weaviate.collections import Collection
    from weaviate.collections.classes.filters import FilterReturn

    Objects = Collection[Any, Any]

BATCH = 250  # objects in one request
TRIES = 3
PAUSE_SECONDS = 0.5  # before the second try; twice as long before the third


def write(objects: Objects, lives: Mapping[UUID, IndexedLife]) -> Mapping[UUID, IndexedLife]:
    """Stores at most a batch; returns the lives that could not be read back as they should be.

    What is missing is sent again, up to three times in all. Raises IndexIncomplete when the server still refuses
    objects and says why.
    """
    missing = lives
    refused: Mapping[UUID, str] = {}
    for attempt in range(TRIES):
        time.sleep(PAUSE_SECONDS * attempt)
        refused = _send(objects, missing)
        missing = _unconfirmed(objects, missing)
        if not missing:
            break
    reasons = [refused[key] for key in missing if key in refused]
    if reasons:
        raise IndexIncomplete(
            f"Weaviate refused {len(reasons):,} of {len(lives):,} chunks of {objects.name} {TRIES} times; "
            f"the first because: {reasons[0][:300]}. Nothing was published; run again when that is mended.",
            refused=len(reasons),
            sent=len(lives),
        )
    return missing


def _send(objects: Objects, lives: Mapping[UUID, IndexedLife]) -> dict[UUID, str]:
    """Sends lives; returns why the server refused which. A request without an answer is cleared up by reading back."""
    from weaviate.exceptions import WeaviateBatchError, WeaviateInsertManyAllFailedError, WeaviateRetryError

    keys = list(lives)
    try:
        answer = objects.data.insert_many([to_object(key, life) for key, life in lives.items()])
    except WeaviateInsertManyAllFailedError as error:
        return dict.fromkeys(keys, error.message)
    except (WeaviateBatchError, WeaviateRetryError):
        return {}
    return {keys[row]: error.message for row, error in answer.errors.items()}


def _unconfirmed(objects: Objects, lives: Mapping[UUID, IndexedLife]) -> dict[UUID, IndexedLife]:
    """Those of the lives that the server does not hold with this birth and this death."""
    answer = objects.query.fetch_objects_by_ids(list(lives), limit=len(lives), return_properties=["born", "died"])
    held = {found.uuid: (found.properties.get("born"), found.properties.get("died")) for found in answer.objects}
    return {key: life for key, life in lives.items() if held.get(key) != (life.born, life.died)}


def delete_where(objects: Objects, which: FilterReturn, before_each: Callable[[], None]) -> int:
    """Deletes whatever a filter finds; returns how many. One request deletes 10,000 at most, so it is repeated."""
    gone = failures = 0
    while True:
        before_each()
        time.sleep(PAUSE_SECONDS * failures)
        answer = objects.data.delete_many(which)
        gone += answer.successful
        if answer.matches == 0:
            return gone
        failures = 0 if answer.successful else failures + 1
        if failures == TRIES:
            raise IndexUnavailable(
                f"Weaviate deleted none of {answer.matches:,} objects of {objects.name} that it was told to delete, "
                f"{TRIES} times. Run again; if it stays so, its storage may be read-only (a full disk makes it so).",
                matches=answer.matches,
            )
