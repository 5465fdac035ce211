"""What every ArtifactStore promises. A new adapter joins by adding its place to `place`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from artifact_places import ArtifactPlace, FolderArtifactPlace, S3ArtifactPlace, filled
from source_places import S3Server, in_threads, s3_server

from infra.adapters.artifact_files import LIST
from tasks.core.errors import BadSetting, IntegrityFailure, NotFound

UNKNOWN = "sha256-" + "0" * 64


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactPlace:
    if request.param == "folder":
        return FolderArtifactPlace(tmp_path / "artifacts")
    return S3ArtifactPlace(request.getfixturevalue("s3").emptied(), tmp_path / "machines")


def test_what_one_machine_puts_another_finds_by_its_digest(place: ArtifactPlace, tmp_path: Path) -> None:
    digest = place.open().put(filled(tmp_path / "in", a_json="{}", deep__b_txt="hello"))
    elsewhere = place.open()
    assert elsewhere.exists(digest)
    folder = elsewhere.path(digest)
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert files == ["a.json", "deep/b.txt", LIST]
    assert (folder / "deep" / "b.txt").read_text() == "hello"


def test_the_digest_is_of_names_and_contents_wherever_they_lay(place: ArtifactPlace, tmp_path: Path) -> None:
    store = place.open()
    digests = [
        store.put(filled(tmp_path / "one", a_json="{}")),
        store.put(filled(tmp_path / "two", a_json="{}")),
        store.put(filled(tmp_path / "three", b_json="{}")),
        store.put(filled(tmp_path / "four", a_json="[]")),
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_every_store_gives_the_same_content_the_same_name(place: ArtifactPlace, tmp_path: Path) -> None:
    digest = place.open().put(filled(tmp_path / "in", a_json="{}"))
    of_file = hashlib.sha256(b"{}").hexdigest()
    assert digest == "sha256-" + hashlib.sha256(f'{{"a.json":"{of_file}"}}'.encode()).hexdigest()


def test_putting_the_same_again_writes_nothing(place: ArtifactPlace, tmp_path: Path) -> None:
    folder = filled(tmp_path / "in", a_json="{}", b_json="[]")
    place.open().put(folder)
    before = place.versions()
    assert len(before) == 3
    place.open().put(folder)
    assert place.versions() == before


def test_an_artifact_put_again_from_the_store_keeps_its_digest(place: ArtifactPlace, tmp_path: Path) -> None:
    store = place.open()
    digest = store.put(filled(tmp_path / "in", a_json="{}"))
    assert store.put(store.path(digest)) == digest


def test_what_has_no_list_is_not_there(place: ArtifactPlace, tmp_path: Path) -> None:
    digest = place.open().put(filled(tmp_path / "in", a_json="{}"))
    place.remove(f"{digest}/{LIST}")
    store = place.open()
    assert not store.exists(digest)
    with pytest.raises(NotFound, match=digest):
        store.path(digest)


@pytest.mark.parametrize("name", ["a.json", LIST])
def test_bytes_that_do_not_match_the_digest_are_refused_by_name(
    place: ArtifactPlace, tmp_path: Path, name: str
) -> None:
    digest = place.open().put(filled(tmp_path / "in", a_json="{}"))
    place.write(f"{digest}/{name}", b'{"a.json": 1}')
    with pytest.raises(IntegrityFailure, match=r"a\.json" if name == "a.json" else "list|files.json"):
        place.open().path(digest)


def test_a_file_that_is_gone_is_named(place: ArtifactPlace, tmp_path: Path) -> None:
    digest = place.open().put(filled(tmp_path / "in", a_json="{}", b_json="[]"))
    place.remove(f"{digest}/b.json")
    with pytest.raises(IntegrityFailure, match=r"b\.json"):
        place.open().path(digest)


@pytest.mark.parametrize("name", ["optimizer.pt", "training_args.bin", "weights.pkl", "model.ckpt", "run.py", "noname"])
def test_formats_that_can_run_code_are_refused_by_name(place: ArtifactPlace, tmp_path: Path, name: str) -> None:
    folder = filled(tmp_path / "in", a_json="{}")
    (folder / name).write_bytes(b"")
    with pytest.raises(BadSetting, match=name):
        place.open().put(folder)
    assert place.versions() == {}


def test_a_link_out_of_the_folder_is_refused(place: ArtifactPlace, tmp_path: Path) -> None:
    folder = filled(tmp_path / "in", a_json="{}")
    (folder / "secret.txt").symlink_to("/etc/hostname")
    with pytest.raises(BadSetting, match=r"secret\.txt"):
        place.open().put(folder)
    assert place.versions() == {}


@pytest.mark.parametrize("digest", [UNKNOWN, "latest", "sha256-../../etc", ""])
def test_an_unknown_digest_is_not_found(place: ArtifactPlace, digest: str) -> None:
    with pytest.raises(NotFound):
        place.open().path(digest)


def test_machines_that_put_and_read_the_same_at_once_all_succeed(place: ArtifactPlace, tmp_path: Path) -> None:
    folder = filled(tmp_path / "in", **{f"file{number}_json": str(number) * 1000 for number in range(5)})

    def work(number: int) -> str:
        store = place.open()
        digest = store.put(folder)
        assert (store.path(digest) / "file4.json").read_text() == "4" * 1000
        return digest

    found = in_threads(6, work)
    assert set(found) == {place.open().put(folder)}
    assert len(place.versions()) == 6  # five files and their list; nothing half-made stays
