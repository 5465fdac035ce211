"""Artifacts as folders: `<root>/sha256-…/`, named by the digest of `files.json`, which lists every file and its digest.

`files.json` is written last, in a folder beside that is then renamed: an artifact is whole or not there.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from infra.adapters.artifact_files import LIST, checked, digest_of, list_text, listed
from tasks.core.errors import IntegrityFailure, NotFound, StorageFull

HALF_MADE = ".putting-"
LOCK = ".lock"


class FolderArtifacts:
    """ArtifactStore on a folder of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, folder: Path) -> str:
        files = listed(folder)
        text = list_text(files)
        digest = digest_of(text)
        if not self.exists(digest):
            with self.making(digest, text) as made:
                for name in files:
                    (made / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(folder / name, made / name)
        return digest

    def path(self, digest: str) -> Path:
        folder = self._root / checked(digest)
        if not (folder / LIST).exists():
            raise NotFound(f"There is no artifact {digest} in {self._root}.", digest=digest)
        text = (folder / LIST).read_bytes()
        if digest_of(text) != digest:
            raise IntegrityFailure(f"The file list of artifact {digest} was changed. Restore {folder}.", digest=digest)
        found = listed(folder)
        if found != json.loads(text):
            wrong = sorted(name for name, _ in set(found.items()) ^ set(json.loads(text).items()))
            raise IntegrityFailure(
                f"Artifact {digest} does not hold what was put: {', '.join(dict.fromkeys(wrong))}. Restore {folder}.",
                digest=digest,
            )
        return folder

    def exists(self, digest: str) -> bool:
        return (self._root / checked(digest) / LIST).exists()

    @contextmanager
    def making(self, digest: str, text: bytes) -> Iterator[Path]:
        """A folder to fill, which is the artifact once the block has ended well. text: of its list, written last.

        Raises StorageFull when there is no room for it; nothing is left of it then.
        """
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=HALF_MADE, dir=self._root) as beside:
                made = Path(beside) / digest
                made.mkdir()
                yield made
                with (made / LIST).open("wb") as file:
                    file.write(text)
                    os.fsync(file.fileno())
                self._publish(made, digest)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise StorageFull(
                f"There is no room left in {self._root} for artifact {digest}. Make room (`ratchet vacuum` deletes "
                "what nothing names) and run again.",
                digest=digest,
            ) from error

    def drop_damaged(self, digest: str) -> bool:
        """Removes a copy that is not what was put. Whether there is none now; a good one stays."""
        if not (self._root / checked(digest)).exists():
            return True
        with self._alone():  # or the good one that another process has just fetched would go
            try:
                self.path(digest)
            except (NotFound, IntegrityFailure):
                remove_whole(self._root / digest)
                return True
        return False

    def _publish(self, whole: Path, digest: str) -> None:
        try:
            whole.rename(self._root / digest)
        except OSError:
            if not self.exists(digest):  # not another run that put the same: a real failure
                raise

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self._root / LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed
            yield


def remove_whole(folder: Path) -> None:
    """Deletes an artifact's folder. It is whole or not there, also while it is being deleted."""
    aside = folder.with_name(f"{HALF_MADE}removed-{folder.name}")
    with suppress(FileNotFoundError):
        shutil.rmtree(aside, ignore_errors=True)  # of a removal that was killed
        folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)
