"""Label files in a folder, and in a bucket of a real S3 server in this process."""

from __future__ import annotations

from pathlib import Path

import pytest
from source_places import BUCKET, S3Place, S3Server

from infra.adapters import label_places
from infra.adapters.label_places import label_files
from tasks.core.errors import BadSetting, SourceMissing


@pytest.fixture
def place(s3: S3Server) -> S3Place:
    return S3Place(s3.emptied())


def read(where: str, place: S3Place | None = None) -> dict[str, bytes]:
    files = {}
    for file in label_files(where, client=place.client if place else None):
        with file.open() as stream:
            files[file.name] = stream.read()
    return files


def test_one_object_is_read_whatever_it_is_called(place: S3Place) -> None:
    place.write("labels/day-1.txt", b"{}")
    assert read(f"s3://{BUCKET}/labels/day-1.txt", place) == {f"s3://{BUCKET}/labels/day-1.txt": b"{}"}


def test_below_a_prefix_every_jsonl_object_is_read_and_nothing_else(place: S3Place) -> None:
    for name in ("labels/b.jsonl", "labels/deep/a.jsonl", "labels/notes.md", "labels-old/c.jsonl"):
        place.write(name, name.encode())
    there = f"s3://{BUCKET}/labels"
    assert read(f"{there}/", place) == {
        f"{there}/b.jsonl": b"labels/b.jsonl",
        f"{there}/deep/a.jsonl": b"labels/deep/a.jsonl",
    }


def test_what_is_not_there_is_named(place: S3Place, tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match=r"no \.jsonl file at s3://"):
        read(f"s3://{BUCKET}/nothing", place)
    with pytest.raises(SourceMissing, match="bucket of s3://not-there/x"):
        read("s3://not-there/x", place)
    with pytest.raises(SourceMissing, match="There is no file"):
        read(str(tmp_path / "nowhere.jsonl"))


def test_an_object_too_large_for_one_import_is_refused_before_it_is_fetched(
    place: S3Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_places, "MAX_BYTES", 10)
    place.write("big.jsonl", b"x" * 11)
    with pytest.raises(BadSetting, match="it has 11 bytes; the most of one import is 10"):
        read(f"s3://{BUCKET}/big.jsonl", place)


def test_a_folder_gives_its_jsonl_files_by_name(tmp_path: Path) -> None:
    for name in ("b.jsonl", "deep/a.jsonl", "c.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert list(read(str(tmp_path)).values()) == [b"b.jsonl", b"deep/a.jsonl"]
    assert list(read(str(tmp_path / "c.txt")).values()) == [b"c.txt"]
