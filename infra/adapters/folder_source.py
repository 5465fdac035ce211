"""Documents in a folder of this machine (or a single file)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from infra.adapters.source_globs import SourceGlobs
from infra.adapters.source_names import checked_name, is_passed_over
from tasks.core.documents import SourceFile
from tasks.core.errors import NotFound, SourceMissing

SETTLED_SECONDS = 2  # a file written again within one tick of the clock keeps its times


class FolderSource:
    """Source on a folder. Dot-directories and office lock files are skipped.

    A symbolic link to a file inside the folder is read; one to a folder inside is not entered, because its files are
    listed at their real place; one that leaves the folder is refused by name.
    """

    def __init__(self, path: Path | str, *, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        self._root = Path(path).expanduser().resolve()
        self._globs = SourceGlobs(include, exclude)

    @property
    def uri(self) -> str:
        return str(self._root)

    def files(self) -> Iterator[SourceFile]:
        if not self._root.exists():
            raise SourceMissing(
                f"The source {self._root} is not there. Check the path, and that it is mounted.", uri=self.uri
            )
        found = self._walk() if self._root.is_dir() else self._wanted([self._root])
        yield from sorted((self._file(path) for path in found), key=lambda file: file.uri)

    def read(self, uri: str) -> bytes:
        path = self._base / uri
        if not self._is_inside(path):
            raise NotFound(f"{uri} cannot be read: it is outside the source {self.uri}.", uri=uri)
        try:
            return path.read_bytes()
        except OSError as error:
            raise NotFound(f"{uri} cannot be read: {error.strerror}.", uri=uri) from error

    @property
    def _base(self) -> Path:
        return self._root.parent if self._root.is_file() else self._root

    def _walk(self) -> Iterator[Path]:
        """The wanted files, and the folder links that must be refused."""

        def unreadable(error: OSError) -> None:
            raise SourceMissing(
                f"The folder {error.filename} cannot be listed: {error.strerror}. Its documents would look deleted.",
                uri=self.uri,
            ) from error

        for folder, folders, names in os.walk(self._root, onerror=unreadable):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in folders:
                path = Path(folder, name)
                if path.is_symlink() and not self._globs.drops(f"{self._name(path)}/") and self._link_problem(path):
                    yield path
            yield from self._wanted(Path(folder, name) for name in names)

    def _wanted(self, paths: Iterable[Path]) -> Iterator[Path]:
        for path in paths:
            uri = self._name(path)
            if not is_passed_over(uri) and self._globs.wants(uri) and (path.is_file() or path.is_symlink()):
                yield path

    def _name(self, path: Path) -> str:
        return path.relative_to(self._base).as_posix()

    def _file(self, path: Path) -> SourceFile:
        uri, problem = checked_name(self._name(path))
        problem = problem or (self._link_problem(path) if path.is_symlink() else "")
        if problem:
            return SourceFile(uri, 0, "", problem)
        try:
            stat = path.stat()
        except OSError as error:
            return SourceFile(uri, 0, "", f"it cannot be read: {error.strerror}")
        settled = time.time() - max(stat.st_mtime, stat.st_ctime) > SETTLED_SECONDS
        hint = f"{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ctime_ns}-{stat.st_ino}" if settled else ""
        return SourceFile(uri, stat.st_size, hint)

    def _link_problem(self, path: Path) -> str:
        if not self._is_inside(path):
            return "it is a symbolic link to a place outside the source; put the files themselves there"
        target = Path(os.path.realpath(path)).relative_to(self._base)
        if path.is_dir() and is_passed_over(f"{target.as_posix()}/") and target.parts:
            return "it is a symbolic link to a folder below a dot-directory, which is not read; rename that"
        return ""

    def _is_inside(self, path: Path) -> bool:
        # Path.resolve raises RuntimeError for a link that leads to itself.
        return Path(os.path.realpath(path)).is_relative_to(self._base)
