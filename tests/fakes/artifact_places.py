"""Real places that artifacts lie in, to be damaged by tests: a folder, and a bucket with a copy on each machine."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from source_places import OF_TESTS

from infra.adapters.artifact_bucket import ArtifactBucket
from infra.adapters.folder_artifacts import FolderArtifacts
from infra.adapters.s3_artifacts import S3Artifacts
from tasks.core.ports import ArtifactStore

BUCKET = f"{OF_TESTS}artifacts"
PREFIX = "kept/artifacts"
URI = f"s3://{BUCKET}/{PREFIX}"


class ArtifactPlace(Protocol):
    """What a contract test does to the files of artifacts, named `DIGEST/FILE`, and the store that reads them."""

    def open(self) -> ArtifactStore:
        """The store, as a machine opens it that never did before."""

    def write(self, name: str, data: bytes) -> None: ...

    def remove(self, name: str) -> None: ...

    def versions(self) -> dict[str, object]:
        """What tells whether a file was written again, by name."""


@dataclass
class FolderArtifactPlace:
    root: Path

    def open(self) -> FolderArtifacts:
        return FolderArtifacts(self.root)

    def write(self, name: str, data: bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def remove(self, name: str) -> None:
        (self.root / name).unlink()

    def versions(self) -> dict[str, object]:
        files = (path for path in self.root.rglob("*") if path.is_file())
        return {path.relative_to(self.root).as_posix(): path.stat().st_mtime_ns for path in files}


@dataclass
class S3ArtifactPlace:
    """Every machine has a folder of its own under `homes`."""

    client: Any
    homes: Path
    machines: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.client.create_bucket(Bucket=BUCKET)
        # Every write makes a version, so that one that changes nothing is seen too.
        self.client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})

    def open(self) -> S3Artifacts:
        self.machines.append(self.homes / f"machine-{len(self.machines)}" / "artifacts")
        return self.open_at(self.machines[-1])

    def open_at(self, copies: Path, client: Any = None) -> S3Artifacts:
        return S3Artifacts(ArtifactBucket(URI, client=client or self.client), FolderArtifacts(copies))

    def write(self, name: str, data: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=f"{PREFIX}/{name}", Body=data)

    def remove(self, name: str) -> None:
        self.client.delete_object(Bucket=BUCKET, Key=f"{PREFIX}/{name}")

    def versions(self) -> dict[str, object]:
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=f"{PREFIX}/").get("Contents", ())
        names = (one["Key"] for one in found)
        return {
            name.removeprefix(f"{PREFIX}/"): self.client.head_object(Bucket=BUCKET, Key=name)["VersionId"]
            for name in names
        }

    def forget_copies(self) -> None:
        for machine in self.machines:
            shutil.rmtree(machine, ignore_errors=True)


def filled(folder: Path, **files: str) -> Path:
    """A folder with these files; `deep__a_json` is called `deep/a.json`."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder
