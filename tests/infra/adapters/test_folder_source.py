"""Which files of a folder are documents."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infra.adapters.folder_source import FolderSource
from tasks.core.errors import NotFound, SourceMissing


def uris(folder: Path) -> list[str]:
    return [file.uri for file in FolderSource(folder).files()]


def write(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_files_are_listed_by_posix_path_in_order(tmp_path: Path) -> None:
    for name in ("b.md", "a/z.md", "a/b/c.md", "Größe.md"):
        write(tmp_path / name)
    assert uris(tmp_path) == ["Größe.md", "a/b/c.md", "a/z.md", "b.md"]


def test_dot_directories_and_lock_files_are_skipped(tmp_path: Path) -> None:
    for name in (".git/a.md", ".venv/b.md", "c/.hidden/d.md", "~$open.docx", "._mac.md", "kept.md", ".also-kept.md"):
        write(tmp_path / name)
    assert uris(tmp_path) == [".also-kept.md", "kept.md"]


def test_a_missing_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match=r"gone is not there.*mounted"):
        uris(tmp_path / "gone")


def test_an_empty_folder_has_no_files(tmp_path: Path) -> None:
    assert uris(tmp_path) == []


def test_a_single_file_is_a_source_of_one_document(tmp_path: Path) -> None:
    source = FolderSource(write(tmp_path / "manual.md", "text"))
    assert [file.uri for file in source.files()] == ["manual.md"]
    assert source.read("manual.md") == b"text"


def test_a_link_out_of_the_source_is_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path / "secret.md")
    write(tmp_path / "docs/a.md")
    (tmp_path / "docs/out.md").symlink_to(tmp_path / "secret.md")
    (tmp_path / "docs/inside.md").symlink_to(tmp_path / "docs/a.md")
    (tmp_path / "docs/dangling.md").symlink_to(tmp_path / "docs/nothing.md")
    problems = {file.uri: file.problem for file in FolderSource(tmp_path / "docs").files()}
    assert problems["a.md"] == problems["inside.md"] == ""
    assert "outside the source" in problems["out.md"]
    assert "cannot be read" in problems["dangling.md"]


def test_a_folder_behind_a_link_is_not_entered(tmp_path: Path) -> None:
    write(tmp_path / "docs/a/b.md")
    (tmp_path / "docs/loop").symlink_to(tmp_path / "docs")
    assert uris(tmp_path / "docs") == ["a/b.md"]


def test_a_link_to_a_folder_outside_is_refused_by_name_and_not_entered(tmp_path: Path) -> None:
    write(tmp_path / "private/secret.md")
    write(tmp_path / "docs/a/b.md")
    (tmp_path / "docs/out").symlink_to(tmp_path / "private")
    (tmp_path / "docs/a/up").symlink_to(tmp_path)
    (tmp_path / "docs/inside").symlink_to(tmp_path / "docs/a")
    problems = {file.uri: file.problem for file in FolderSource(tmp_path / "docs").files()}
    assert sorted(problems) == ["a/b.md", "a/up", "out"]
    assert "outside the source" in problems["out"]
    assert "outside the source" in problems["a/up"]


def test_a_link_to_a_folder_that_is_skipped_is_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path / ".versions/1/a.md")
    (tmp_path / "current").symlink_to(tmp_path / ".versions/1")
    (file,) = FolderSource(tmp_path).files()
    assert file.uri == "current"
    assert "below a dot-directory" in file.problem


def test_links_that_lead_to_themselves_do_not_stop_a_scan(tmp_path: Path) -> None:
    write(tmp_path / "a.md")
    (tmp_path / "self.md").symlink_to(tmp_path / "self.md")
    (tmp_path / "one.md").symlink_to(tmp_path / "two.md")
    (tmp_path / "two.md").symlink_to(tmp_path / "one.md")
    problems = {file.uri: file.problem for file in FolderSource(tmp_path).files()}
    assert problems.pop("a.md") == ""
    assert set(problems) == {"self.md", "one.md", "two.md"}
    assert all("symbolic links" in problem for problem in problems.values())


def test_what_a_link_outside_leads_to_cannot_be_read_by_asking_for_it(tmp_path: Path) -> None:
    write(tmp_path / "private/secret.md")
    write(tmp_path / "docs/a.md")
    (tmp_path / "docs/out").symlink_to(tmp_path / "private")
    source = FolderSource(tmp_path / "docs")
    for uri in ("out/secret.md", "../private/secret.md", str(tmp_path / "private/secret.md")):
        with pytest.raises(NotFound, match="outside the source"):
            source.read(uri)


def test_an_excluded_link_is_nobodys_problem_but_include_does_not_hide_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "docs/a.md")
    (tmp_path / "docs/out").symlink_to(tmp_path)
    (tmp_path / "docs/out.md").symlink_to("/etc/hostname")
    listed = [file.uri for file in FolderSource(tmp_path / "docs", exclude=["out/", "out.md"]).files()]
    assert listed == ["a.md"]
    listed = [file.uri for file in FolderSource(tmp_path / "docs", include=["*.md"]).files()]
    assert listed == ["a.md", "out", "out.md"]


def test_names_with_newlines_are_read(tmp_path: Path) -> None:
    write(tmp_path / "line\nbreak.md", "text")
    assert FolderSource(tmp_path).read(*uris(tmp_path)) == b"text"


def test_a_name_that_is_not_utf8_is_refused_by_name(tmp_path: Path) -> None:
    bad = os.fsdecode(b"caf\xe9.md")
    write(tmp_path / bad)
    (file,) = FolderSource(tmp_path).files()
    assert file.uri == r"caf\xe9.md"
    assert "not valid UTF-8" in file.problem


def test_a_path_too_long_for_the_catalog_is_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path / "/".join(["d" * 100] * 10) / "a.md")
    (file,) = FolderSource(tmp_path).files()
    assert "1,014 characters" in file.problem
    assert len(file.uri) <= 1024


def test_a_hint_changes_with_the_file_and_is_empty_while_the_file_is_young(tmp_path: Path) -> None:
    path = write(tmp_path / "a.md")
    (young,) = FolderSource(tmp_path).files()
    assert young.hint == ""
    # Only the change time tells that somebody set the modification time back; it cannot be set, so the test waits
    # by asking about a file that is old on every machine.
    old = Path(os.__file__)
    (first,), (second,) = FolderSource(old).files(), FolderSource(old).files()
    assert first.hint == second.hint != ""
    assert path.exists()


def test_a_file_that_vanished_is_told_from_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"gone\.md cannot be read"):
        FolderSource(tmp_path).read("gone.md")
