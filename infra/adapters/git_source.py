"""Documents in a git repository, at one commit: a branch that moves meanwhile does not mix two states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType

from infra.adapters.git_blobs import GitBlobs
from infra.adapters.git_cache import GitCache
from infra.adapters.git_command import GitFailed
from infra.adapters.git_uri import GitUri
from infra.adapters.source_globs import SourceGlobs
from infra.adapters.source_names import checked_name, is_passed_over
from tasks.core.documents import SourceFile
from tasks.core.errors import NotFound, SourceMissing, WorthRetrying

LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\n"
LFS_POINTER_BYTES = 1024  # the specification's upper bound
SYMBOLIC_LINK, SUBMODULE = "120000", "160000"


@dataclass(frozen=True, slots=True)
class _Entry:
    uri: str
    mode: str
    blob: str
    size_bytes: int
    problem: str


class GitSource:
    """Source on a repository at a ref: see git_uri for how it is written. Close it, or use `with`.

    The commit is chosen when it is first asked for and kept for the life of the object. A file's hint is its blob id:
    equal ids mean equal bytes. Dot-directories and submodules are skipped; symbolic links and Git LFS pointers are
    refused by name. cache_folder: where copies of repositories are kept between runs; it may be deleted at any time.
    """

    def __init__(
        self,
        uri: str,
        cache_folder: Path,
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        timeout_seconds: float = 600,
    ) -> None:
        self._uri = GitUri.parse(uri)
        self._globs = SourceGlobs(include, exclude)
        self._cache = GitCache(self._uri, cache_folder.absolute(), timeout_seconds=timeout_seconds)
        self._blobs = GitBlobs(self._cache.repository)

    @property
    def uri(self) -> str:
        return str(self._uri)

    @cached_property
    def commit(self) -> str:
        """The commit that is read: all digits of its id."""
        return self._cache.pin()

    def files(self) -> Iterator[SourceFile]:
        for uri, entry in sorted(self._entries.items()):
            if self._globs.wants(uri):
                problem = entry.problem or self._lfs_problem(entry)
                yield SourceFile(uri, entry.size_bytes, "" if problem else f"blob:{entry.blob}", problem)

    def read(self, uri: str) -> bytes:
        entry = self._entries.get(uri)
        if entry is None:
            raise NotFound(f"{uri} is not in {self.uri} at commit {self.commit[:12]}.", uri=uri)
        problem = entry.problem or self._lfs_problem(entry)
        if problem:
            raise NotFound(f"{uri} cannot be read: {problem}.", uri=uri)
        return self._blob(entry.blob)

    def close(self) -> None:
        """Ends the git process that reads."""
        self._blobs.close()

    def __enter__(self) -> GitSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ── what is there ────────────────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def _entries(self) -> dict[str, _Entry]:
        """Every file that is not passed over, by URI."""
        try:
            listing = self._list()
        except GitFailed:
            self._cache.renew(self.commit)
            listing = self._list_or_give_up()
        if self._uri.subfolder and not listing:
            raise SourceMissing(
                f"{self._uri.repository} has no folder {self._uri.subfolder} at commit {self.commit[:12]}. "
                "Check what is written after the #.",
                uri=self.uri,
            )
        entries = (self._entry(line) for line in listing.split(b"\0") if line)
        return {entry.uri: entry for entry in entries if entry.mode != SUBMODULE and not is_passed_over(entry.uri)}

    def _list(self) -> bytes:
        below = (self._uri.subfolder,) if self._uri.subfolder else ()
        return self._cache.run("ls-tree", "-r", "-z", "--long", "--full-tree", self.commit, "--", *below)

    def _list_or_give_up(self) -> bytes:
        try:
            return self._list()
        except GitFailed as error:
            raise self._unreadable(error) from error

    def _entry(self, line: bytes) -> _Entry:
        about, _, path = line.partition(b"\t")
        mode, _, blob, size = about.decode().split()
        uri, problem = checked_name(self._relative(path.decode("utf-8", errors="surrogateescape")))
        if mode == SYMBOLIC_LINK:
            problem = "it is a symbolic link, which is not followed in a repository; put the file itself there"
        return _Entry(uri, mode, blob, int(size) if size.isdigit() else 0, problem)

    def _relative(self, path: str) -> str:
        below = self._uri.subfolder
        if path == below:  # the "folder" is one file
            return path.rpartition("/")[2]
        return path.removeprefix(f"{below}/") if below else path

    # ── what it says ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _lfs_problem(self, entry: _Entry) -> str:
        if entry.size_bytes >= LFS_POINTER_BYTES or not self._blob(entry.blob).startswith(LFS_POINTER):
            return ""
        return (
            "it is a Git LFS pointer, not the document; commit the document itself, or ingest a folder "
            "in which `git lfs pull` was run"
        )

    def _blob(self, blob: str) -> bytes:
        """A blob's bytes: by another git process when one died, then from another copy of the repository."""
        for is_damaged in (False, True):
            try:
                return self._blobs.read(blob)
            except GitFailed:
                if is_damaged:
                    self._cache.renew(self.commit)
        try:
            return self._blobs.read(blob)
        except GitFailed as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: GitFailed) -> WorthRetrying:
        return WorthRetrying(
            f"The copy of {self._uri.repository} at commit {self.commit[:12]} is damaged, and so was a new one: "
            f"{error.reason}. Check the disk, and `git fsck` in the repository.",
            uri=self.uri,
        )
