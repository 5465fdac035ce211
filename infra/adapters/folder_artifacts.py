"""Artifacts as folders: `<root>/sha256-…/`, named by the digest of `files.json`, which lists every file and its digest.

`files.json` is written last, in a folder beside that is then renamed: an artifact is whole or not there.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

from tasks.core.errors import BadSetting, IntegrityFailure, NotFound
from tasks.core.releases import canonical_json

LIST = "files.json"
ALLOWED = frozenset({".safetensors", ".json", ".txt", ".jsonl", ".md", ".html"})
"""What an artifact may hold: formats that hold data only. Pickles (.bin, .pt, .pkl, .ckpt) can run code when loaded."""


class FolderArtifacts:
    """ArtifactStore on a folder of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, folder: Path) -> str:
        files = _listed(folder)
        text = canonical_json(files)
        digest = "sha256-" + hashlib.sha256(text.encode()).hexdigest()
        if not self.exists(digest):
            self._root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".putting-", dir=self._root) as beside:
                _copy(folder, Path(beside) / digest, files, text)
                self._publish(Path(beside) / digest, digest)
        return digest

    def path(self, digest: str) -> Path:
        folder = self._root / _checked(digest)
        if not (folder / LIST).exists():
            raise NotFound(f"There is no artifact {digest} in {self._root}.", digest=digest)
        text = (folder / LIST).read_bytes()
        if "sha256-" + hashlib.sha256(text).hexdigest() != digest:
            raise IntegrityFailure(f"The file list of artifact {digest} was changed. Restore {folder}.", digest=digest)
        found = _listed(folder)
        if found != json.loads(text):
            wrong = sorted(name for name, _ in set(found.items()) ^ set(json.loads(text).items()))
            raise IntegrityFailure(
                f"Artifact {digest} does not hold what was put: {', '.join(dict.fromkeys(wrong))}. Restore {folder}.",
                digest=digest,
            )
        return folder

    def exists(self, digest: str) -> bool:
        return (self._root / _checked(digest) / LIST).exists()

    def _publish(self, whole: Path, digest: str) -> None:
        try:
            whole.rename(self._root / digest)
        except OSError:
            if not self.exists(digest):  # not another run that put the same: a real failure
                raise


def _listed(folder: Path) -> dict[str, str]:
    """Every file's digest by POSIX path. Raises BadSetting for what an artifact may not hold."""
    if not folder.is_dir():
        raise NotFound(f"There is no folder {folder} to keep as an artifact.")
    files = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or name == LIST:
            continue
        if path.is_symlink() or path.suffix not in ALLOWED:
            raise BadSetting(
                f"{name} cannot be part of an artifact: only plain files ending in {', '.join(sorted(ALLOWED))} can, "
                "because other formats may run code when they are loaded.",
                file=name,
            )
        with path.open("rb") as file:
            files[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return files


def _copy(folder: Path, target: Path, files: dict[str, str], text: str) -> None:
    for name in files:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, target / name)
    target.mkdir(exist_ok=True)
    with (target / LIST).open("wb") as file:
        file.write(text.encode())
        os.fsync(file.fileno())


def _checked(digest: str) -> str:
    """The digest, which is about to become a path."""
    kind, _, digits = digest.partition("-")
    if kind != "sha256" or len(digits) != 64 or not set(digits) <= set("0123456789abcdef"):
        raise NotFound(f"{digest!r} is not an artifact's digest.", digest=digest)
    return digest
