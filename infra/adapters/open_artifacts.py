"""Where artifacts lie, by the settings: a folder of the home, or a bucket with copies there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from infra.settings import Settings

if TYPE_CHECKING:
    from infra.adapters.artifact_bucket import ArtifactBucket
    from tasks.core.ports import ArtifactStore
    from tasks.vacuum import Leftovers

FOLDER = "artifacts"
TRAININGS = "trainings"


def open_artifacts(settings: Settings, home: Path, catalog: Callable[[], str]) -> ArtifactStore:
    """The store. Raises UsageError for a bucket's name that can be none; nothing is asked yet.

    catalog: the name of the one that knows what lies there.
    """
    from infra.adapters.folder_artifacts import FolderArtifacts

    here = FolderArtifacts(home / FOLDER)
    if settings.artifacts_uri is None:
        return here
    from infra.adapters.s3_artifacts import S3Artifacts

    return S3Artifacts(_bucket(settings, settings.artifacts_uri, catalog), here)


def open_leftovers(settings: Settings, home: Path, catalog: Callable[[], str]) -> Leftovers:
    """What vacuum may find in the store and in the home."""
    from infra.adapters.leftover_folders import LeftoverFolders

    grace_seconds = settings.vacuum_grace_hours * 3600
    folders = (home / FOLDER, home / TRAININGS)
    if settings.artifacts_uri is None:
        return LeftoverFolders(*folders, grace_seconds)
    from infra.adapters.s3_leftovers import S3Leftovers

    here = LeftoverFolders(*folders, grace_seconds, whole="copy")
    return S3Leftovers(_bucket(settings, settings.artifacts_uri, catalog), here, grace_seconds)


def _bucket(settings: Settings, uri: str, catalog: Callable[[], str]) -> ArtifactBucket:
    from infra.adapters.artifact_bucket import ArtifactBucket

    return ArtifactBucket(uri, endpoint_url=settings.s3_endpoint_url, owner=catalog)
