"""Which files patterns choose."""

from __future__ import annotations

import pytest

from infra.adapters.source_globs import SourceGlobs
from tasks.core.errors import UsageError


@pytest.mark.parametrize(
    ("pattern", "wanted", "unwanted"),
    [
        ("*.md", ["a.md", "x/y/a.md", ".md"], ["a.mdx", "a.MD", "a.md.bak"]),
        ("/*.md", ["a.md"], ["x/a.md"]),
        ("docs/*.md", ["docs/a.md"], ["x/docs/a.md", "docs/x/a.md"]),
        ("docs/**/*.md", ["docs/a.md", "docs/x/y/a.md"], ["a.md", "x/docs/a.md"]),
        ("**/docs/*.md", ["docs/a.md", "x/y/docs/a.md"], ["docs/x/a.md"]),
        ("docs/**", ["docs/a", "docs/x/y"], ["docs", "x/docs/a"]),
        ("drafts/", ["drafts/a.md", "x/drafts/y/a.md"], ["drafts", "drafts.md"]),
        ("drafts", ["drafts", "drafts/a.md", "x/drafts/a.md"], ["drafts.md"]),
        ("chapter-[0-9].md", ["chapter-1.md"], ["chapter-10.md", "chapter-x.md"]),
        (r"\#1.md", ["#1.md"], ["1.md"]),
        ("Größe/*", ["Größe/a"], ["größe/a"]),
    ],
)
def test_a_pattern_means_what_it_means_in_a_gitignore(pattern: str, wanted: list[str], unwanted: list[str]) -> None:
    included, excluded = SourceGlobs(include=[pattern]), SourceGlobs(exclude=[pattern])
    assert [uri for uri in (*wanted, *unwanted) if included.wants(uri)] == wanted
    assert [uri for uri in (*wanted, *unwanted) if excluded.wants(uri)] == unwanted


def test_without_patterns_everything_is_wanted() -> None:
    assert SourceGlobs().wants("any/thing")


def test_any_include_pattern_is_enough_and_any_exclude_pattern_too_much() -> None:
    globs = SourceGlobs(include=["*.md", "*.html"], exclude=["a.*", "old/"])
    assert [uri for uri in ("a.md", "b.md", "b.html", "old/b.md", "b.txt") if globs.wants(uri)] == ["b.md", "b.html"]


@pytest.mark.parametrize("pattern", ["", "  ", "# not a pattern", "!", "/"])
def test_a_pattern_that_would_be_passed_over_in_silence_is_refused(pattern: str) -> None:
    for name in ("include", "exclude"):
        with pytest.raises(UsageError, match=f"The {name} pattern"):
            SourceGlobs(**{name: ["*.md", pattern]})


def test_one_text_instead_of_a_list_is_refused() -> None:
    with pytest.raises(UsageError, match=r'write a list of patterns: \["\*\.md"\]'):
        SourceGlobs(include="*.md")
