"""Which source a URI names."""

from __future__ import annotations

from pathlib import Path

import pytest
from source_places import GitPlace

from infra.adapters.folder_source import FolderSource
from infra.adapters.git_source import GitSource
from infra.adapters.open_source import open_source
from infra.adapters.s3_source import S3Source
from tasks.core.errors import UsageError


@pytest.mark.parametrize(
    ("uri", "kind"),
    [
        ("docs", FolderSource),
        ("./docs.bundle", FolderSource),
        ("c:docs", FolderSource),
        ("file:///srv/docs", FolderSource),
        ("s3://manuals/docs", S3Source),
        ("git+https://host/x@main", GitSource),
        ("git+docs", GitSource),
    ],
)
def test_the_beginning_of_a_uri_says_what_reads_it(uri: str, kind: type, tmp_path: Path) -> None:
    assert type(open_source(uri, cache_folder=tmp_path)) is kind


def test_a_source_named_relatively_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my docs").mkdir()
    named = {
        str(tmp_path / "my docs"): [
            "my docs",
            "./my docs/",
            f"file://{tmp_path}/my%20docs",
            f"file:{tmp_path}/my docs",
        ],
        f"git+{tmp_path}/repo@main": ["git+repo@main", "git+./repo/@main", f"git+file://{tmp_path}/repo@main"],
        "s3://manuals/docs": ["s3://manuals/docs", "s3://manuals/docs/"],
        "s3://manuals": ["s3://manuals", "s3://manuals/"],
        "git+https://host/x": ["git+https://HOST/x/", "git+https://host/x"],
    }
    for uri, ways in named.items():
        for way in (*ways, uri):
            assert open_source(way, cache_folder=tmp_path / "cache").uri == uri


@pytest.mark.parametrize(
    "uri", ["https://host/docs", "gs://bucket/x", "S3://bucket", "ftp://host/x", "svn+ssh://host/x"]
)
def test_an_unknown_kind_of_source_is_refused_with_the_known_ones(uri: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is not a kind of source.*s3://.*git\+"):
        open_source(uri, cache_folder=tmp_path)


@pytest.mark.parametrize("uri", ["", "file://server/share", "s3://", "s3:///docs", "s3://No_Capitals/docs", "git+"])
def test_a_uri_that_names_nothing_is_refused(uri: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        open_source(uri, cache_folder=tmp_path)


def test_patterns_reach_whichever_source_it_is(tmp_path: Path) -> None:
    place = GitPlace(tmp_path / "docs", tmp_path / "cache")
    place.write_all({"a.md": b"x", "b.txt": b"x", "old/c.md": b"x"})
    for uri in (str(place.root), f"git+{place.root}"):
        source = open_source(uri, include=["*.md"], exclude=["old/"], cache_folder=tmp_path / "cache")
        assert [file.uri for file in source.files()] == ["a.md"]
