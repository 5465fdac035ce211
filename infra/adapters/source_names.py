"""Names of files inside a source: which are passed over, and which cannot name a document."""

from __future__ import annotations

import os

MAX_URI_CHARACTERS = 900  # the catalog's column is 1,024; a source's name stands before it


def is_passed_over(uri: str) -> bool:
    """Whether a file is nobody's document: below a dot-directory, an office lock file, or macOS metadata.

    >>> [is_passed_over(uri) for uri in (".git/config", "a/.hidden/b.md", "~$open.docx", "._mac.md", ".kept.md")]
    [True, True, True, True, False]
    """
    *folders, name = uri.split("/")
    return name.startswith(("~$", "._")) or any(folder.startswith(".") for folder in folders)


def checked_name(name: str) -> tuple[str, str]:
    r"""The URI for a name as the operating system decodes it, and why it must not be read ("" when it may).

    >>> checked_name("docs/a.md")
    ('docs/a.md', '')
    >>> checked_name("caf\udce9.md")
    ('caf\\xe9.md', 'its name is not valid UTF-8; rename it')
    """
    printable = os.fsencode(name).decode("utf-8", errors="backslashreplace")
    if printable != name:
        return printable[-MAX_URI_CHARACTERS:], "its name is not valid UTF-8; rename it"
    if len(name) > MAX_URI_CHARACTERS:
        limit = f"the limit is {MAX_URI_CHARACTERS}; shorten the names of its folders"
        return name[-MAX_URI_CHARACTERS:], f"its path has {len(name):,} characters; {limit}"
    return name, ""
