"""Artifacts in a bucket that nothing refers to, and uploads that nobody finished; beside what is left over here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby

from infra.adapters.artifact_bucket import ArtifactBucket, Stored
from infra.adapters.artifact_files import LIST, checked
from infra.adapters.leftover_folders import LeftoverFolders
from tasks.core.errors import NotFound
from tasks.vacuum import Leftover


class S3Leftovers:
    """Leftovers of the bucket and of this machine. What was written within the grace stays.

    Copies on other machines are left to a vacuum there: they cost room and nothing else.
    """

    def __init__(
        self,
        bucket: ArtifactBucket,
        here: LeftoverFolders,
        grace_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """here: finds copies, not artifacts."""
        self._bucket = bucket
        self._here = here
        self._grace = grace_seconds
        self._clock = clock

    def unreferenced(self, artifacts: frozenset[str], trainings: frozenset[str]) -> tuple[Leftover, ...]:
        self._bucket.claim()
        found = [
            Leftover("artifact" if _is_whole(name, objects) else "unfinished artifact", name, _size(objects))
            for name, objects in _by_artifact(self._bucket.listed()).items()
            if name not in artifacts and self._is_old(objects)
        ]
        return (*found, *self._here.unreferenced(artifacts, trainings))

    def remove(self, leftover: Leftover) -> None:
        if leftover.kind in ("copy", "training") or not _is_digest(leftover.name):
            return self._here.remove(leftover)
        objects = _by_artifact(self._bucket.listed(f"{leftover.name}/")).get(leftover.name, ())
        if not self._is_old(objects):  # somebody is putting it
            return None
        for one in sorted(objects, key=lambda one: one.key != f"{leftover.name}/{LIST}"):  # the list first: not there
            self._bucket.delete(one.key)
        return None

    def _is_old(self, objects: Iterable[Stored]) -> bool:
        return all(one.changed <= self._clock() - self._grace for one in objects)


def _by_artifact(objects: Iterable[Stored]) -> Mapping[str, tuple[Stored, ...]]:
    """What lies below a digest. Whatever else lies in the bucket is not ours."""
    parts = groupby(sorted(objects, key=lambda one: one.key), key=lambda one: one.key.partition("/")[0])
    return {name: tuple(found) for name, found in parts if _is_digest(name)}


def _is_digest(name: str) -> bool:
    try:
        return bool(checked(name))
    except NotFound:
        return False


def _is_whole(name: str, objects: Iterable[Stored]) -> bool:
    return f"{name}/{LIST}" in {one.key for one in objects}


def _size(objects: Iterable[Stored]) -> int:
    return sum(one.size_bytes for one in objects)
