"""How a git source is written: `git+REPOSITORY`, then `@REF`, then `#SUBFOLDER`; both may be left out.

    git+https://github.com/org/docs@main#handbook    a branch of a repository on the web, one folder of it
    git+ssh://git@host/org/docs.git@v2.1             a tag; the user before the host is no ref
    git+./docs-repository                            a repository on this machine, at its default branch
    git+/backups/docs.bundle@3f2a…(40 digits)        a bundle file, at a commit

The first `@` after the host begins the ref, so a tag may hold more of them (`@pkg@1.0.0`); the first `#` begins the
subfolder. A path that holds `@` or `#` itself is written as a `file://` URL, with `%40` and `%23`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

from tasks.core.errors import UsageError

PREFIX = "git+"
SCHEMES = ("https", "http", "ssh", "file")
_URL = re.compile(r"(?P<scheme>[A-Za-z][\w+.-]*)://(?P<host>[^/@#]*(?:@[^/@#]*)*)(?P<rest>.*)", re.DOTALL)
_HOST = re.compile(r"(?:[\w.-]+|\[[0-9A-Fa-f:.%]+\])(?::\d+)?")
_SCP = re.compile(r"(?P<host>[\w.-]+@[\w.-]+):(?P<path>[^/].*)", re.DOTALL)
_NOT_IN_A_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|\.lock(?:/|$)|(?:^|/)\.|[./]$|^[-/]")


@dataclass(frozen=True, slots=True)
class GitUri:
    """A repository at a ref. `str()` gives it back in one form: parsing that gives an equal value.

    >>> GitUri.parse("git+ssh://git@host/org/docs.git@release/2#handbook/en/")
    GitUri(repository='ssh://git@host/org/docs.git', ref='release/2', subfolder='handbook/en')
    >>> str(GitUri.parse("git+file:///srv/docs@main"))
    'git+/srv/docs@main'
    """

    repository: str  # a URL, or an absolute path
    ref: str = ""  # "": the default branch
    subfolder: str = ""  # "": the whole repository

    @classmethod
    def parse(cls, text: str) -> GitUri:
        """Raises UsageError that says what is wrong. Reads nothing from disk but the working directory's name."""
        if not text.startswith(PREFIX):
            raise UsageError(f"A git source begins with {PREFIX}, such as git+https://github.com/org/docs@main.")
        before, has_subfolder, subfolder = text.removeprefix(PREFIX).partition("#")
        url = _URL.fullmatch(before)
        host = url["host"] if url else ""
        start = before.index("://") + 3 + len(host) if url else 0
        path, has_ref, ref = before[start:].partition("@")
        _check_credentials(url["scheme"].lower() if url else "", host)
        repository = _repository(url["scheme"].lower() if url else "", host, path, before)
        if has_ref:
            _check_ref(ref)
        return cls(repository, ref, _subfolder(subfolder) if has_subfolder else "")

    def __str__(self) -> str:
        where = self.repository
        if self.is_local and set("@#%") & set(where):
            where = "file://" + quote(where)
        ref = f"@{self.ref}" if self.ref else ""
        return f"{PREFIX}{where}{ref}{f'#{self.subfolder}' if self.subfolder else ''}"

    @property
    def is_local(self) -> bool:
        """Whether the repository is a path on this machine."""
        return self.repository.startswith("/")


def _repository(scheme: str, host: str, path: str, written: str) -> str:
    if not scheme:
        if _SCP.fullmatch(written):
            user_at_host, _, place = written.partition(":")
            raise UsageError(f"Write git+ssh://{user_at_host}/{place} instead of git+{written}.")
        return _absolute(path)
    if scheme not in SCHEMES:
        known = ", ".join(f"git+{known}://" for known in SCHEMES)
        raise UsageError(f"git+{scheme}:// is not known. Known are {known} and git+ with a path.")
    if scheme == "file":
        if host not in ("", "localhost"):
            raise UsageError(f"git+file://{host}… names a host. Write git+file:///absolute/path, with three slashes.")
        return _absolute(unquote(path))
    user, at, name = host.rpartition("@")
    if not _HOST.fullmatch(name) or not path.strip("/"):
        raise UsageError(f"The git URL names no host and repository. Write git+{scheme}://host/org/repository.")
    return f"{scheme}://{user}{at}{name.lower()}{path.rstrip('/')}"


def _absolute(path: str) -> str:
    if not path or "\0" in path:
        raise UsageError("The git source names no repository. Write git+PATH or git+https://host/org/repository.")
    return os.path.abspath(os.path.expanduser(path))


def _check_credentials(scheme: str, host: str) -> None:
    """A source's URI is kept in the catalog, shown in reports and logged, so nothing secret may be in it."""
    user, at, name = host.rpartition("@")
    if at and (scheme != "ssh" or ":" in user):
        raise UsageError(
            f"The URL of {name} holds a user or password, which would be stored and shown. Leave it out "
            f"(git+{scheme}://{name}/…) and let git sign in: by a credential helper, ~/.netrc or an SSH key."
        )


def _check_ref(ref: str) -> None:
    if not ref or ref == "@" or _NOT_IN_A_REF.search(ref):
        raise UsageError(f"{ref!r} is not a branch, a tag or a whole commit id. Write it after the @: git+…@main.")


def _subfolder(written: str) -> str:
    subfolder = written.strip("/")
    if not subfolder or "\0" in subfolder or {"", ".", ".."} & set(subfolder.split("/")):
        raise UsageError(f"{written!r} is not a folder of the repository. Write it after the #: git+…@main#docs/en.")
    return subfolder
