"""Which files of a source are wanted, by patterns on their URI inside it, in the language of `.gitignore`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tasks.core.errors import UsageError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec


class SourceGlobs:
    """Wanted is what any `include` pattern matches (without one: everything) and no `exclude` pattern does.

    A pattern without a slash matches at any depth; one with a slash begins at the root of the source; `**` stands for
    any number of folders; a folder's pattern takes all that is below it. Letters match in their own case.

    >>> globs = SourceGlobs(include=["*.md", "docs/**/*.html"], exclude=["drafts/", "/README.md"])
    >>> [globs.wants(uri) for uri in ("a.md", "x/y/b.md", "docs/index.html", "docs/x/y/c.html")]
    [True, True, True, True]
    >>> [globs.wants(uri) for uri in ("x/docs/c.html", "drafts/a.md", "x/drafts/a.md", "README.md", "a.MD")]
    [False, False, False, False, False]
    >>> globs.wants("x/README.md")
    True

    Within one list a later pattern that begins with `!` takes back what an earlier one matched:

    >>> SourceGlobs(exclude=["*.md", "!guide.md"]).wants("guide.md")
    True
    """

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        self._include = _compiled("include", include) if include else None
        self._exclude = _compiled("exclude", exclude) if exclude else None

    def wants(self, uri: str) -> bool:
        """Whether a file is wanted."""
        return (self._include is None or self._include.match_file(uri)) and not self.drops(uri)

    def drops(self, uri: str) -> bool:
        """Whether `exclude` alone rules it out; for a folder, end `uri` with a slash."""
        return self._exclude is not None and self._exclude.match_file(uri)


def _compiled(name: str, patterns: Sequence[str]) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec
    from pathspec.patterns.gitignore import GitIgnorePatternError

    if isinstance(patterns, str):
        raise UsageError(f'{name} is one text, {patterns!r}; write a list of patterns: ["{patterns}"].')
    try:
        compiled = GitIgnoreSpec.from_lines(patterns, backend="simple")
    except GitIgnorePatternError as error:
        raise UsageError(f"The {name} patterns {list(patterns)} are not valid: {error}") from error
    for pattern in patterns:
        if all(meaning.include is None for meaning in GitIgnoreSpec.from_lines([pattern]).patterns):
            raise UsageError(
                f"The {name} pattern {pattern!r} matches nothing, as an empty one or one that begins with # (a comment)"
                r" does. Remove it, or write \# for a name that begins with #."
            )
    return compiled
