"""The source a URI names: a folder or file of this machine, an S3 prefix, or a git repository."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tasks.core.errors import UsageError
from tasks.core.ports import Source

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/")
KNOWN = "a path, file:///absolute/path, s3://bucket/prefix, git+https://host/repository@ref#folder or git+PATH@ref"


def open_source(
    uri: str,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    cache_folder: Path,
    s3_endpoint_url: str | None = None,
) -> Source:
    """The source; nothing is read or fetched before its files are asked for. Raises UsageError for an unknown scheme.

    Its `uri` is in one form, with absolute paths: opening that gives the same source from any working directory.
    Only `git+` means git: a plain path is a folder or a file, even when it holds a repository or ends in `.bundle`.
    """
    if uri.startswith("git+"):
        from infra.adapters.git_source import GitSource

        return GitSource(uri, cache_folder, include=include, exclude=exclude)
    if uri.startswith("s3://"):
        from infra.adapters.s3_source import S3Source

        return S3Source(uri, include=include, exclude=exclude, endpoint_url=s3_endpoint_url)
    from infra.adapters.folder_source import FolderSource

    return FolderSource(_path(uri), include=include, exclude=exclude)


def _path(uri: str) -> str:
    scheme = _SCHEME.match(uri)
    if not uri:
        raise UsageError(f"The source has no name. Known are {KNOWN}.")
    if scheme is None:
        return uri
    if scheme[1].lower() != "file":
        raise UsageError(f"{scheme[1]}:// is not a kind of source. Known are {KNOWN}.")
    parts = urlsplit(uri)
    if parts.netloc not in ("", "localhost"):
        raise UsageError(f"{uri} names the host {parts.netloc}. Write file:///absolute/path, with three slashes.")
    return unquote(uri[len(scheme[0]) - 1 :].removeprefix("//localhost").removeprefix("//"))
