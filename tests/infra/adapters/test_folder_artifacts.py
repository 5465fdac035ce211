from __future__ import annotations

from pathlib import Path

import pytest

from infra.adapters.folder_artifacts import LIST, FolderArtifacts
from tasks.core.errors import BadSetting, IntegrityFailure, NotFound

UNKNOWN = "sha256-" + "0" * 64


@pytest.fixture
def store(tmp_path: Path) -> FolderArtifacts:
    return FolderArtifacts(tmp_path / "artifacts")


def written(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_what_is_put_is_found_by_its_digest(store: FolderArtifacts, tmp_path: Path) -> None:
    digest = store.put(written(tmp_path / "in", a_json="{}", deep__b_txt="hello"))
    assert store.exists(digest)
    assert (store.path(digest) / "deep" / "b.txt").read_text() == "hello"


def test_the_digest_is_of_names_and_contents_wherever_they_lay(store: FolderArtifacts, tmp_path: Path) -> None:
    digests = [
        store.put(written(tmp_path / "one", a_json="{}")),
        store.put(written(tmp_path / "two", a_json="{}")),
        store.put(written(tmp_path / "three", b_json="{}")),
        store.put(written(tmp_path / "four", a_json="[]")),
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_putting_the_same_again_changes_nothing(store: FolderArtifacts, tmp_path: Path) -> None:
    folder = written(tmp_path / "in", a_json="{}")
    path = store.path(store.put(folder))
    before = [(file.name, file.stat().st_mtime_ns) for file in sorted(path.iterdir())]
    store.put(folder)
    assert [(file.name, file.stat().st_mtime_ns) for file in sorted(path.iterdir())] == before


def test_an_artifact_put_again_from_the_store_keeps_its_digest(store: FolderArtifacts, tmp_path: Path) -> None:
    digest = store.put(written(tmp_path / "in", a_json="{}"))
    assert store.put(store.path(digest)) == digest


def test_a_folder_without_its_list_is_not_there(store: FolderArtifacts, tmp_path: Path) -> None:
    digest = store.put(written(tmp_path / "in", a_json="{}"))
    (store.path(digest) / LIST).unlink()
    assert not store.exists(digest)
    with pytest.raises(NotFound):
        store.path(digest)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: (path / "a.json").write_text("[]"),
        lambda path: (path / "a.json").unlink(),
        lambda path: (path / "more.json").write_text("{}"),
        lambda path: (path / LIST).write_text("{}"),
    ],
    ids=["changed", "deleted", "added", "list changed"],
)
def test_bytes_that_do_not_match_the_digest_are_refused(store: FolderArtifacts, tmp_path: Path, damage: object) -> None:
    digest = store.put(written(tmp_path / "in", a_json="{}"))
    damage(store.path(digest))  # type: ignore[operator]
    with pytest.raises(IntegrityFailure):
        store.path(digest)


@pytest.mark.parametrize("name", ["optimizer.pt", "training_args.bin", "weights.pkl", "model.ckpt", "run.py", "noname"])
def test_formats_that_can_run_code_are_refused_by_name(store: FolderArtifacts, tmp_path: Path, name: str) -> None:
    folder = written(tmp_path / "in", a_json="{}")
    (folder / name).write_bytes(b"")
    with pytest.raises(BadSetting, match=name):
        store.put(folder)
    assert not list(tmp_path.glob("artifacts/sha256-*"))


def test_a_link_out_of_the_folder_is_refused(store: FolderArtifacts, tmp_path: Path) -> None:
    folder = written(tmp_path / "in", a_json="{}")
    (folder / "secret.txt").symlink_to("/etc/hostname")
    with pytest.raises(BadSetting, match=r"secret\.txt"):
        store.put(folder)


@pytest.mark.parametrize("digest", [UNKNOWN, "latest", "sha256-../../etc", ""])
def test_an_unknown_digest_is_not_found(store: FolderArtifacts, digest: str) -> None:
    with pytest.raises(NotFound):
        store.path(digest)


def test_a_put_that_was_killed_half_way_is_completed_by_the_next(store: FolderArtifacts, tmp_path: Path) -> None:
    folder = written(tmp_path / "in", a_json="{}")
    digest = store.put(folder)
    half = tmp_path / "artifacts" / ".putting-killed" / digest
    half.mkdir(parents=True)
    (half / "a.json").write_text("{")
    assert store.put(folder) == digest
    assert (store.path(digest) / "a.json").read_text() == "{}"
