"""How a git source is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.adapters.git_uri import GitUri
from tasks.core.errors import UsageError


@pytest.mark.parametrize(
    ("text", "repository", "ref", "subfolder"),
    [
        ("git+https://github.com/org/docs", "https://github.com/org/docs", "", ""),
        ("git+https://github.com/org/docs@main#handbook", "https://github.com/org/docs", "main", "handbook"),
        ("git+https://GitHub.com:8443/Org/docs.git/", "https://github.com:8443/Org/docs.git", "", ""),
        ("git+ssh://git@host/x.git@main", "ssh://git@host/x.git", "main", ""),
        ("git+ssh://git@host/x.git", "ssh://git@host/x.git", "", ""),
        ("git+https://host/x@feature/new-pumps", "https://host/x", "feature/new-pumps", ""),
        ("git+https://host/x@@pkg/docs@1.0.0#docs/en/", "https://host/x", "@pkg/docs@1.0.0", "docs/en"),
        ("git+/srv/docs.bundle@v1", "/srv/docs.bundle", "v1", ""),
        ("git+/srv/docs#a@b", "/srv/docs", "", "a@b"),
        ("git+file:///srv/docs%40home@v1", "/srv/docs@home", "v1", ""),
    ],
)
def test_a_uri_says_repository_ref_and_subfolder(text: str, repository: str, ref: str, subfolder: str) -> None:
    assert GitUri.parse(text) == GitUri(repository, ref, subfolder)


def test_a_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    absolute = f"git+{tmp_path}/repo@main"
    for written in ("git+./repo@main", "git+repo/@main", "git+x/../repo@main", f"git+file://{tmp_path}/repo@main"):
        assert str(GitUri.parse(written)) == absolute


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("git+", "names no repository"),
        ("git+https://host", "names no host and repository"),
        ("git+https:///org/x", "names no host and repository"),
        ("git+git@github.com:org/x.git@main", r"Write git\+ssh://git@github.com/org/x.git@main"),
        ("git+svn://host/x", r"git\+svn:// is not known"),
        ("git+file://server/x", "three slashes"),
        ("git+repo@", "not a branch, a tag or a whole commit"),
        ("git+repo@--upload-pack=touch", "not a branch, a tag or a whole commit"),
        ("git+repo@main~1", "not a branch, a tag or a whole commit"),
        ("git+repo@a b", "not a branch, a tag or a whole commit"),
        ("git+repo@a..b", "not a branch, a tag or a whole commit"),
        ("git+./repo@main:refs/heads/x", "not a branch, a tag or a whole commit"),
        ("git+repo#", "not a folder"),
        ("git+repo#../etc", "not a folder"),
        ("git+repo#a//b", "not a folder"),
        ("repo", r"begins with git\+"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_advice(text: str, advice: str) -> None:
    with pytest.raises(UsageError, match=advice):
        GitUri.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "git+https://user:hunter2@host/x",
        "git+https://hunter2@host/x@main",
        "git+https://us@er:hunter2@host/x",
        "git+ssh://git:hunter2@host/x.git@main",
        "git+https://user:hunter2/with-slash@host/x",
        "git+https://user:hunter2#with-hash@host/x",
        "git+svn://user:hunter2@host/x",
        "git+file://user:hunter2@host/x",
    ],
)
def test_a_url_with_credentials_is_refused_without_repeating_them(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        GitUri.parse(text)
    assert "hunter2" not in refused.value.message


paths = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)


@given(path=paths, ref=st.sampled_from(["", "main", "v1@2", "a/b"]), subfolder=st.sampled_from(["", "docs", "a b/ü@"]))
def test_the_one_form_of_a_uri_is_read_back_equal(path: str, ref: str, subfolder: str) -> None:
    uri = GitUri("/" + "/".join(part for part in path.split("/") if part not in ("", ".", "..")), ref, subfolder)
    assert GitUri.parse(str(uri)) == uri
