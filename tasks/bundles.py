"""Steps that keep evidence bundles, carry them elsewhere and recompute them. Recomputing needs the bundle alone."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tasks.core.errors import NotFound, UsageError
from tasks.core.evidence import EVIDENCE, PAGE, QUESTIONS, REPORT, VERDICT, Recheck
from tasks.core.evidence import recheck as recheck_files
from tasks.core.ports import ArtifactStore

BUNDLE = (EVIDENCE, QUESTIONS, VERDICT, REPORT, PAGE)


def keep(files: Mapping[str, bytes], artifacts: ArtifactStore) -> str:
    """Puts the bundle into the store; returns its digest."""
    with tempfile.TemporaryDirectory() as folder:
        for name, data in files.items():
            (Path(folder) / name).write_bytes(data)
        return artifacts.put(Path(folder))


def recheck(folder: Path) -> Recheck:
    """Recomputes the verdict of the bundle in `folder`. Writes nothing.

    Raises NotFound, IntegrityFailure when it was changed, and UsageError for one of another format.
    """
    missing = [name for name in (EVIDENCE, QUESTIONS, VERDICT, REPORT) if not (folder / name).is_file()]
    if missing:
        raise NotFound(f"{folder} is no evidence bundle: {', '.join(missing)} is missing.", folder=str(folder))
    return recheck_files({name: (folder / name).read_bytes() for name in BUNDLE if (folder / name).is_file()})


def export(folder: Path, to: Path) -> None:
    """Copies the bundle in `folder` to where it can be carried from. Raises UsageError where something lies already."""
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UsageError(f"{to} is not an empty folder. Name one that does not exist yet.", folder=str(to))
    to.mkdir(parents=True, exist_ok=True)
    for name in BUNDLE:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, to / name)
