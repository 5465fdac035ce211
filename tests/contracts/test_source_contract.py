"""What every Source promises. A new adapter joins by adding its place to `place`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from source_places import FolderPlace, GitPlace, S3Place, S3Server, SourcePlace, s3_server

from tasks.core.errors import NotFound, SourceMissing
from tasks.core.ports import Source


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture(params=["folder", "git", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> SourcePlace:
    if request.param == "folder":
        return FolderPlace(tmp_path / "docs")
    if request.param == "git":
        return GitPlace(tmp_path / "docs", tmp_path / "cache")
    return S3Place(request.getfixturevalue("s3").emptied())


def contents(source: Source) -> dict[str, bytes]:
    return {file.uri: source.read(file.uri) for file in source.files()}


def hints(source: Source) -> dict[str, str]:
    return {file.uri: file.hint for file in source.files()}


def test_every_file_is_listed_in_order_with_its_size_and_read_whole(place: SourcePlace) -> None:
    written = {"b.md": b"second", "a/z.md": b"first\r\n\x00\xff", "a/b/c.md": b"", "Z.md": b"x" * 100_000}
    for name, data in written.items():
        place.write(name, data)
    source = place.open()
    listed = list(source.files())
    assert [file.uri for file in listed] == ["Z.md", "a/b/c.md", "a/z.md", "b.md"]
    assert [file.size_bytes for file in listed] == [100_000, 0, 9, 6]
    assert contents(source) == written


@pytest.mark.parametrize("name", ["Größe 日本.md", "a b/c d.md", "a+b&c=%20d#e?f.md", "-n.md", '"q".md'])
def test_any_name_is_listed_as_it_is_and_can_be_read(place: SourcePlace, name: str) -> None:
    place.write(name, b"text")
    assert contents(place.open()) == {name: b"text"}


def test_a_hint_stays_while_the_file_stays_and_changes_with_its_bytes(place: SourcePlace) -> None:
    place.write("a.md", b"one")
    place.write("b.md", b"same")
    before = hints(place.open())
    assert hints(place.open()) == before
    place.write("a.md", b"two")  # as long as before
    after = hints(place.open())
    assert after["b.md"] == before["b.md"]
    assert after["a.md"] != before["a.md"] or after["a.md"] == ""  # a folder does not vouch for a young file


def test_a_removed_file_is_no_longer_listed_and_not_found(place: SourcePlace) -> None:
    place.write("a.md", b"one")
    place.write("b.md", b"two")
    place.remove("a.md")
    source = place.open()
    assert contents(source) == {"b.md": b"two"}
    with pytest.raises(NotFound, match=r"a\.md"):
        source.read("a.md")


def test_dot_directories_and_lock_files_are_skipped(place: SourcePlace) -> None:
    for name in (".github/a.md", "c/.hidden/d.md", "~$open.docx", "._mac.md", "kept.md", ".also-kept.md"):
        place.write(name, b"x")
    assert list(contents(place.open())) == [".also-kept.md", "kept.md"]


def test_patterns_choose_files_and_exclude_wins(place: SourcePlace) -> None:
    for name in ("a.md", "docs/b.md", "docs/deep/c.md", "docs/d.html", "drafts/e.md", "docs/drafts/f.md"):
        place.write(name, b"x")
    assert list(contents(place.open(include=["docs/**/*.md"]))) == ["docs/b.md", "docs/deep/c.md", "docs/drafts/f.md"]
    chosen = place.open(include=["*.md"], exclude=["drafts/", "/a.md"])
    assert list(contents(chosen)) == ["docs/b.md", "docs/deep/c.md"]


def test_a_source_may_be_a_part_of_the_place(place: SourcePlace) -> None:
    for name in ("docs/a.md", "docs/b/c.md", "docs-old/d.md", "docs.md"):
        place.write(name, name.encode())
    assert contents(place.open(below="docs")) == {"a.md": b"docs/a.md", "b/c.md": b"docs/b/c.md"}


def test_a_source_may_be_one_file(place: SourcePlace) -> None:
    place.write("docs/manual.md", b"text")
    place.write("docs/manual.md.orig", b"another")
    assert contents(place.open(below="docs/manual.md")) == {"manual.md": b"text"}


def test_a_path_too_long_for_the_catalog_is_refused_by_its_end_and_listed_in_order(place: SourcePlace) -> None:
    kept = ("z" * 99 + "/") * 8 + "z" * 97 + ".md"
    place.write("a" * 12 + "/" + kept, b"x")
    place.write("b.md", b"x")
    first, second = place.open().files()
    assert (first.uri, first.problem) == ("b.md", "")
    assert (len(kept), second.uri) == (900, kept)
    assert "913 characters; the limit is 900" in second.problem


def test_reading_what_was_never_there_is_not_found(place: SourcePlace) -> None:
    place.write("docs/a.md", b"x")
    place.write("secret.md", b"x")
    for uri in ("gone.md", "docs/../secret.md/..", "../secret.md"):
        with pytest.raises(NotFound, match=r"cannot be read|is not in"):
            place.open(below="docs").read(uri)


def test_a_place_that_is_gone_is_told_from_an_empty_one(place: SourcePlace) -> None:
    place.write("a.md", b"x")
    place.remove("a.md")
    assert list(place.open().files()) == []
    place.take_away()
    with pytest.raises(SourceMissing, match="is not there"):
        list(place.open().files())


def test_opening_its_uri_gives_the_same_source(place: SourcePlace) -> None:
    place.write("docs/a.md", b"x")
    source = place.open(below="docs")
    assert source.uri.endswith("docs")
    assert place.open(below="docs/").uri == source.uri
