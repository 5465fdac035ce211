"""Documents in a folder of this machine (or a single file)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from tasks.core.documents import SourceFile
from tasks.core.errors import NotFound, SourceMissing

MAX_URI_CHARACTERS = 900  # the catalog's column is 1,024; a source's name stands before it
SETTLED_SECONDS = 2  # a file written again within one tick of the clock keeps its times


class FolderSource:
    """Source on a folder. Dot-directories, office lock files and folders behind symbolic links are skipped."""

    def __init__(self, path: Path | str) -> None:
        self._root = Path(path).expanduser().resolve()

    @property
    def uri(self) -> str:
        return str(self._root)

    def files(self) -> Iterator[SourceFile]:
        if self._root.is_file():
            yield self._file(self._root, self._root.parent)
            return
        if not self._root.is_dir():
            raise SourceMissing(
                f"The source {self._root} is not there. Check the path, and that it is mounted.", uri=self.uri
            )
        paths = sorted(self._walk(), key=lambda path: path.relative_to(self._root).as_posix())
        yield from (self._file(path, self._root) for path in paths)

    def read(self, uri: str) -> bytes:
        root = self._root.parent if self._root.is_file() else self._root
        try:
            return (root / uri).read_bytes()
        except OSError as error:
            raise NotFound(f"{uri} cannot be read: {error.strerror}.", uri=uri) from error

    def _walk(self) -> Iterator[Path]:
        def unreadable(error: OSError) -> None:
            raise SourceMissing(
                f"The folder {error.filename} cannot be listed: {error.strerror}. Its documents would look deleted.",
                uri=self.uri,
            ) from error

        for folder, folders, names in os.walk(self._root, onerror=unreadable):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                path = Path(folder, name)
                if not name.startswith(("~$", "._")) and (path.is_file() or path.is_symlink()):
                    yield path

    def _file(self, path: Path, root: Path) -> SourceFile:
        uri = path.relative_to(root).as_posix()
        printable = os.fsencode(uri).decode("utf-8", errors="backslashreplace")
        if printable != uri:
            return SourceFile(printable[:MAX_URI_CHARACTERS], 0, "", "its name is not valid UTF-8; rename it")
        if len(uri) > MAX_URI_CHARACTERS:
            problem = f"its path has {len(uri):,} characters; the limit is {MAX_URI_CHARACTERS}"
            return SourceFile(uri[-MAX_URI_CHARACTERS:], 0, "", problem)
        if not path.resolve().is_relative_to(root):
            return SourceFile(uri, 0, "", "it is a symbolic link to a place outside the source")
        try:
            stat = path.stat()
        except OSError as error:
            return SourceFile(uri, 0, "", f"it cannot be read: {error.strerror}")
        settled = time.time() - max(stat.st_mtime, stat.st_ctime) > SETTLED_SECONDS
        hint = f"{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ctime_ns}-{stat.st_ino}" if settled else ""
        return SourceFile(uri, stat.st_size, hint)
