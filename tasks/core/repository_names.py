"""One name for a repository, however its address is written."""

from __future__ import annotations

import re
from urllib.parse import unquote

_URL = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?:[^/@]*@)*(?P<host>\[[^\]]*\]|[^/:]*)(?::\d+)?(?P<path>/.*)?", re.I
)
_SCP = re.compile(r"(?:[^/@:]+@)(?P<host>[^/:]+):(?P<path>.+)")


def repository_name(address: str) -> str:
    """Host and path in small letters, without scheme, user, port and `.git`: two addresses of one repository agree.

    A path on this machine stays as it is. "" for what is no address.

    >>> repository_name("https://GitHub.com/org/Docs.git") == repository_name("git@github.com:org/docs")
    True
    >>> repository_name("ssh://git@github.com:22/org/docs/")
    'github.com/org/docs'
    >>> repository_name("file:///srv/Docs.git"), repository_name("/srv/Docs.git")
    ('/srv/Docs', '/srv/Docs')
    """
    text = address.strip()
    found = _URL.fullmatch(text) or _SCP.fullmatch(text)
    if found is None:
        return _path(text) if text.startswith("/") else ""
    host, path = found["host"], _path(unquote(found["path"] or ""))
    if (found.groupdict().get("scheme") or "").lower() == "file":
        return path
    return f"{host}/{path.lstrip('/')}".lower() if host and path.strip("/") else ""


def _path(path: str) -> str:
    return path.rstrip("/").removesuffix(".git").rstrip("/")
