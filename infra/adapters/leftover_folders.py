"""Folders under the home that nothing refers to: artifacts nobody names, half-made ones, trainings that are done."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from infra.adapters.folder_artifacts import HALF_MADE, remove_whole
from tasks.vacuum import Leftover


class LeftoverFolders:
    """Leftovers on this machine. What was touched within the grace stays: somebody may be about to name it."""

    def __init__(
        self,
        artifacts: Path,
        trainings: Path,
        grace_seconds: float,
        clock: Callable[[], float] = time.time,
        *,
        whole: Literal["artifact", "copy"] = "artifact",
    ) -> None:
        """whole: what a folder of artifacts holds, copies where the artifacts lie elsewhere."""
        self._artifacts = artifacts
        self._trainings = trainings
        self._grace = grace_seconds
        self._clock = clock
        self._whole = whole

    def unreferenced(self, artifacts: frozenset[str], trainings: frozenset[str]) -> tuple[Leftover, ...]:
        return tuple(
            Leftover(leftover.kind, leftover.name, _size(self._folder(leftover)))
            for leftover in self._candidates(artifacts, trainings)
            if self._is_old(self._folder(leftover))
        )

    def remove(self, leftover: Leftover) -> None:
        folder = self._folder(leftover)
        if leftover.kind == self._whole:
            remove_whole(folder)
        else:
            shutil.rmtree(folder, ignore_errors=True)

    def _candidates(self, artifacts: frozenset[str], trainings: frozenset[str]) -> Iterator[Leftover]:
        for folder in _folders(self._artifacts):
            if folder.name.startswith(HALF_MADE):
                yield Leftover("unfinished artifact", folder.name, 0)
            elif folder.name.startswith("sha256-") and folder.name not in artifacts:
                yield Leftover(self._whole, folder.name, 0)
        for folder in _folders(self._trainings):
            if folder.name in trainings:
                yield Leftover("training", folder.name, 0)

    def _folder(self, leftover: Leftover) -> Path:
        return (self._trainings if leftover.kind == "training" else self._artifacts) / leftover.name

    def _is_old(self, folder: Path) -> bool:
        try:
            newest = max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
        except FileNotFoundError:  # somebody is at work in it
            return False
        return newest <= self._clock() - self._grace


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
