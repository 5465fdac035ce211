"""Artifacts in a bucket, for machines that share no disk: `PREFIX/sha256-…/FILE`, and `files.json` written last.

The layout is that of the folder store, so copying one into the other moves the artifacts. What is read is brought into
a folder of this machine once, proved by its digests on arrival, and read there from then on, also while the store is
down. That folder is a copy: it can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

from infra.adapters.artifact_bucket import ArtifactBucket
from infra.adapters.artifact_files import LIST, checked, checked_names, digest_of
from infra.adapters.folder_artifacts import FolderArtifacts
from tasks.core.errors import IntegrityFailure, NotFound, StoreUnavailable


class S3Artifacts:
    """ArtifactStore on a bucket. Raises also what ArtifactBucket raises."""

    def __init__(self, bucket: ArtifactBucket, local: FolderArtifacts) -> None:
        self._bucket = bucket
        self._local = local

    def put(self, folder: Path) -> str:
        self._bucket.claim()
        digest = self._local.put(folder)
        if not self.exists(digest):
            self._upload(digest, self._kept_here(digest, folder))
        return digest

    def path(self, digest: str) -> Path:
        try:
            return self._local.path(digest)
        except (NotFound, IntegrityFailure, FileNotFoundError):  # the last: dropped by another process meanwhile
            checked(digest)
        if self._local.drop_damaged(digest):
            self._fetch(digest)
        return self._local.path(digest)

    def exists(self, digest: str) -> bool:
        try:
            self._bucket.read(_key(checked(digest), LIST))
        except NotFound:
            return False
        return True

    def _kept_here(self, digest: str, folder: Path) -> Path:
        """The copy on this machine, which is what is uploaded: proved, and nobody is still writing to it."""
        try:
            return self._local.path(digest)
        except IntegrityFailure:
            self._local.drop_damaged(digest)
            self._local.put(folder)
            return self._local.path(digest)

    def _upload(self, digest: str, kept: Path) -> None:
        files: dict[str, str] = json.loads((kept / LIST).read_bytes())
        for name, sha256 in files.items():
            self._bucket.put_once(_key(digest, name), _opener(kept / name), sha256)
        text = (kept / LIST).read_bytes()
        self._bucket.put_once(_key(digest, LIST), lambda: io.BytesIO(text), hashlib.sha256(text).hexdigest())
        # What lay there of an earlier, unfinished upload may have been vacuumed while this one went on.
        there = {one.key for one in self._bucket.listed(_key(digest, ""))}
        if gone := sorted(_key(digest, name) for name in (*files, LIST) if _key(digest, name) not in there):
            self._bucket.delete(_key(digest, LIST))
            raise StoreUnavailable(
                f"{', '.join(gone)} went from {self._bucket.uri} while the artifact was put. Run again.", digest=digest
            )

    def _fetch(self, digest: str) -> None:
        text, files = self._list(digest)
        with self._local.making(digest, text) as made:
            for name, sha256 in files.items():
                (made / name).parent.mkdir(parents=True, exist_ok=True)
                self._download(digest, name, made / name, sha256)

    def _list(self, digest: str) -> tuple[bytes, Mapping[str, str]]:
        place = f"{self._bucket.uri}/{_key(digest, LIST)}"
        try:
            text = self._bucket.read(_key(digest, LIST))
        except NotFound as error:
            raise NotFound(f"There is no artifact {digest} in {self._bucket.uri}.", digest=digest) from error
        if digest_of(text) != digest:
            raise IntegrityFailure(f"{place} was changed. Restore it from a backup.", digest=digest)
        return text, checked_names(json.loads(text), place)

    def _download(self, digest: str, name: str, to: Path, sha256: str) -> None:
        try:
            self._bucket.download(_key(digest, name), to, sha256)
        except NotFound as error:
            raise IntegrityFailure(
                f"{self._bucket.uri}/{_key(digest, name)} is gone, though the artifact lists it. Restore it from a "
                "backup, or from a machine that has used it.",
                digest=digest,
            ) from error


def _key(digest: str, name: str) -> str:
    return f"{digest}/{name}"


def _opener(path: Path) -> Callable[[], BinaryIO]:
    return lambda: path.open("rb")
