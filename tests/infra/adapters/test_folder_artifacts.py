"""What holds for artifacts in a folder beyond the contract of every store."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from artifact_places import filled

from infra.adapters.folder_artifacts import FolderArtifacts
from tasks.core.errors import IntegrityFailure, StorageFull


@pytest.fixture
def store(tmp_path: Path) -> FolderArtifacts:
    return FolderArtifacts(tmp_path / "artifacts")


def test_a_file_that_was_added_is_refused(store: FolderArtifacts, tmp_path: Path) -> None:
    digest = store.put(filled(tmp_path / "in", a_json="{}"))
    (store.path(digest) / "more.json").write_text("{}")
    with pytest.raises(IntegrityFailure, match=r"more\.json"):
        store.path(digest)


def test_a_put_that_was_killed_half_way_is_completed_by_the_next(store: FolderArtifacts, tmp_path: Path) -> None:
    folder = filled(tmp_path / "in", a_json="{}")
    digest = store.put(folder)
    half = tmp_path / "artifacts" / ".putting-killed" / digest
    half.mkdir(parents=True)
    (half / "a.json").write_text("{")
    assert store.put(folder) == digest
    assert (store.path(digest) / "a.json").read_text() == "{}"


def test_a_full_disk_is_told_and_nothing_half_made_stays(
    store: FolderArtifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)  # where a disk that says yes to writing says no in the end
    with pytest.raises(StorageFull, match=r"no room left.*ratchet vacuum"):
        store.put(filled(tmp_path / "in", a_json="{}"))
    assert list((tmp_path / "artifacts").iterdir()) == []
