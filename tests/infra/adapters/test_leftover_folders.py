"""Which folders count as left over."""

from pathlib import Path

import pytest

from infra.adapters.leftover_folders import LeftoverFolders
from tasks.vacuum import Leftover

DIGEST = "sha256-" + "0" * 64


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in (DIGEST, ".putting-x", "notes"):
        folder = tmp_path / "artifacts" / name / "inner"
        folder.mkdir(parents=True)
        (folder / "file.json").write_text("x" * 7)
    (tmp_path / "artifacts" / "readme.txt").write_text("not ours")
    (tmp_path / "trainings" / "done").mkdir(parents=True)
    return tmp_path


def leftovers(home: Path, hours_later: float) -> LeftoverFolders:
    newest = max(path.stat().st_mtime for path in home.rglob("*"))
    folders = (home / "artifacts", home / "trainings")
    return LeftoverFolders(*folders, grace_seconds=24 * 3600, clock=lambda: newest + hours_later * 3600)


def test_nothing_younger_than_the_grace_is_left_over(home: Path) -> None:
    assert leftovers(home, 23.9).unreferenced(frozenset(), frozenset({"done"})) == ()


def test_what_is_not_ours_or_still_named_is_not_left_over(home: Path) -> None:
    found = leftovers(home, 24.1).unreferenced(frozenset({DIGEST}), frozenset())
    assert found == (Leftover("unfinished artifact", ".putting-x", 7),)


def test_what_is_removed_is_gone_and_removing_it_again_is_no_error(home: Path) -> None:
    folders = leftovers(home, 24.1)
    found = folders.unreferenced(frozenset(), frozenset({"done"}))
    assert {one.kind for one in found} == {"artifact", "unfinished artifact", "training"}
    for one in (*found, *found):
        folders.remove(one)
    assert folders.unreferenced(frozenset(), frozenset({"done"})) == ()
    assert sorted(path.name for path in (home / "artifacts").iterdir()) == ["notes", "readme.txt"]


def test_a_home_without_folders_has_no_leftovers(tmp_path: Path) -> None:
    assert LeftoverFolders(tmp_path / "a", tmp_path / "t", 0).unreferenced(frozenset(), frozenset()) == ()
