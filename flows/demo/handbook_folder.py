"""The demo's working copy of the handbook: as shipped, as edited, or with a directory missing."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

SHIPPED = Path(__file__).parent / "handbook"
EDITS = Path(__file__).parent / "edits"
LABELS = Path(__file__).parent / "labels.jsonl"
EDITED_LABELS = EDITS / "labels.jsonl"


def as_shipped() -> dict[str, Path]:
    """Relative path → file, of the handbook before the edits."""
    return _files(SHIPPED)


def as_edited() -> dict[str, Path]:
    """Relative path → file, after three pages were edited, one was deleted and one was added."""
    pages = as_shipped() | _files(EDITS / "handbook")
    for name in deleted_pages():
        del pages[name]
    return pages


def without_directory(pages: Mapping[str, Path], directory: str) -> dict[str, Path]:
    """The pages that are left when a directory is lost, as by a half-finished checkout."""
    return {name: file for name, file in pages.items() if not name.startswith(f"{directory}/")}


def deleted_pages() -> list[str]:
    """Paths the edits delete."""
    return (EDITS / "deleted.txt").read_text(encoding="utf-8").split()


def mirror(pages: Mapping[str, Path], folder: Path) -> None:
    """Makes `folder` hold exactly these pages; files that are right already are not touched. Safe to repeat."""
    folder.mkdir(parents=True, exist_ok=True)
    for extra in set(_files(folder)) - set(pages):
        (folder / extra).unlink()
    for name, file in pages.items():
        target, content = folder / name, file.read_bytes()
        if not target.is_file() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(target.name + ".partial")
            partial.write_bytes(content)
            partial.replace(target)
    for directory in sorted((d for d in folder.rglob("*") if d.is_dir()), reverse=True):
        if not any(directory.iterdir()):
            shutil.rmtree(directory)


def _files(root: Path) -> dict[str, Path]:
    return {file.relative_to(root).as_posix(): file for file in sorted(root.rglob("*")) if file.is_file()}
