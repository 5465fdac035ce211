"""The lists of files in a push are believed only where they are whole; otherwise everything may have changed."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from webhook_fakes import GITHUB, GITLAB, A, B, C, commit, from_github, github_push, gitlab_push, standard

from infra.adapters.git_source import GitSource
from infra.webhooks.delivery import Hook
from infra.webhooks.git_pushes import WHOLE_BELOW_COMMITS, WHOLE_BELOW_FILES, read_github, read_gitlab
from infra.webhooks.watching import watched
from tasks.core.document_catalog import RegisteredSource
from tasks.core.source_changes import Pushed, touches

NONE = "0" * 40


def pushed(payload: dict[str, Any]) -> Pushed:
    now = time.time()
    if "project" in payload:
        headers, body = standard(payload, GITLAB, at=now)
        delivery = read_gitlab(Hook(headers, body), [GITLAB], now)
    else:
        headers, body = from_github(payload)
        lower = {name.lower(): value for name, value in headers.items()}
        delivery = read_github(Hook(lower, body), [GITHUB], now, 86400)
    [change] = delivery.changes
    assert isinstance(change, Pushed)
    return change


def test_the_files_of_all_commits_of_an_ordinary_push_are_what_may_have_changed() -> None:
    first = {"id": C, "added": ["new.md"], "modified": [], "removed": ["gone.md"]}
    for make in (github_push, gitlab_push):
        told = make(commits=[first, commit(B, "a.md", "ü b.md")], total_commits_count=2)
        assert pushed(told).paths == {"new.md", "gone.md", "a.md", "ü b.md"}


many_commits = [commit(f"{n:040x}", "src/x.py") for n in range(WHOLE_BELOW_COMMITS - 1)]
many_files = commit(B, *(f"src/{n}.py" for n in range(WHOLE_BELOW_FILES)))

UNKNOWN: dict[str, dict[str, Any]] = {
    "forced": github_push("src/x.py", forced=True),
    "created": github_push("src/x.py", created=True, before=NONE),
    "deleted": github_push(deleted=True, after=NONE, commits=[]),
    "forced is not said (Gitea)": {k: v for k, v in github_push("src/x.py").items() if k != "forced"},
    "no commits": github_push(commits=[]),
    "as many commits as are listed at most": github_push(commits=[*many_commits, commit(B, "src/x.py")]),
    "as many files as are listed at most": github_push(commits=[many_files]),
    "the pushed commit is not listed": github_push(commits=[commit(C, "src/x.py")]),
    "no lists of files": github_push(commits=[{"id": B}]),
    "gitlab, created": gitlab_push("src/x.py", before=NONE),
    "gitlab, deleted": gitlab_push(after=NONE, commits=[], total_commits_count=0),
    "gitlab, may have been forced": gitlab_push("src/x.py", ref_protected=False),
    "gitlab, protection is not said": {k: v for k, v in gitlab_push("src/x.py").items() if k != "ref_protected"},
    "gitlab, more commits than listed": gitlab_push("src/x.py", total_commits_count=21),
    "gitlab, no count": {k: v for k, v in gitlab_push("src/x.py").items() if k != "total_commits_count"},
    "gitlab, a tag": gitlab_push(object_kind="tag_push", before=NONE, commits=[], total_commits_count=0),
}


@pytest.mark.parametrize("payload", UNKNOWN.values(), ids=UNKNOWN)
def test_a_push_that_does_not_say_everything_may_have_changed_everything(payload: dict[str, Any]) -> None:
    assert pushed(payload).paths is None


def test_just_below_the_limits_the_lists_are_believed() -> None:
    commits = [*many_commits[1:], commit(B, *(f"handbook/{n}.md" for n in range(WHOLE_BELOW_FILES - 1)))]
    assert len(pushed(github_push(commits=commits)).paths or ()) == WHOLE_BELOW_FILES - 1 + 1


def test_a_push_has_one_identity_whoever_tells_it_and_another_push_has_another() -> None:
    moment = int(time.time())
    one = pushed(github_push("a.md", at=moment))
    assert pushed(github_push("a.md", at=moment, organization={"id": 1})).identity == one.identity
    for other in (
        github_push("a.md", at=moment - 1),
        github_push("a.md", at=moment, before=C),
        github_push("a.md", at=moment, ref="refs/heads/next"),
    ):
        assert pushed(other).identity != one.identity


FILES = [
    *("README.md", "handbook/a.md", "handbook/deep/b.md", "handbook/c.py", "handbook/drafts/d.md", "handbook2/e.md"),
    *("handbook/.hidden/f.md", "handbook/.g.md", "handbook/~$h.md", "other/handbook/i.md", "handbook/ü/j k.md"),
]


@pytest.mark.parametrize("subfolder", ["", "handbook", "handbook/deep", "handbook/a.md"])
@pytest.mark.parametrize(
    ("include", "exclude"), [((), ()), (("*.md",), ("drafts/",)), (("/deep/**",), ()), ((), ("*.md", "!a.md"))]
)
def test_a_path_counts_exactly_when_the_source_would_list_it(
    repository: Path, tmp_path: Path, subfolder: str, include: tuple[str, ...], exclude: tuple[str, ...]
) -> None:
    (tmp_path / "cache").mkdir()
    uri = f"git+{repository}@main" + (f"#{subfolder}" if subfolder else "")
    with GitSource(uri, tmp_path / "cache", include=include, exclude=exclude) as source:
        listed = {file.uri for file in source.files()}
    [seen] = watched([("default", RegisteredSource("docs", uri, include, exclude))])
    before = len(subfolder) + 1 if subfolder else 0
    for path in FILES:
        push = Pushed(frozenset({str(repository)}), "refs/heads/main", "main", A, frozenset({path}), "1")
        inside = path.rpartition("/")[2] if path == subfolder else path[before:]
        is_below = not subfolder or path == subfolder or path.startswith(f"{subfolder}/")
        assert touches(push, seen) is (is_below and inside in listed), path


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"# {name}\n")
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for command in (("init", "-q", "-b", "main"), ("add", "-A", "-f"), (*who, "commit", "-q", "-m", "all")):
        subprocess.run(["git", "-C", str(folder), *command], check=True, capture_output=True)
    return folder
