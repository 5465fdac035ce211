"""Copies of the repositories that are read: one bare repository per URL, with only the commits that were asked for.

A copy is made beside and renamed into place, so a killed run leaves none or a whole one. Whoever fetches holds a lock
per copy; reading needs none. A copy that does not work is made anew once, and replaced only when that succeeds.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.adapters.git_command import GitFailed, run_git
from infra.adapters.git_uri import GitUri
from tasks.core.errors import SourceMissing, WorthRetrying

LOOK_AGAIN_SECONDS = 0.05
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class GitCache:
    """The copy of one repository. Safe to use from several threads and processes."""

    def __init__(self, uri: GitUri, folder: Path, *, timeout_seconds: float) -> None:
        self._uri = uri
        self._folder = folder
        self._name = hashlib.sha256(uri.repository.encode("utf-8", errors="surrogateescape")).hexdigest()[:32]
        self._timeout_seconds = timeout_seconds
        self.repository = folder / self._name

    def pin(self) -> str:
        """The commit that the ref names now; its files are in the copy from then on.

        Raises SourceMissing when the repository or the ref is not there, WorthRetrying when it cannot be reached.
        """
        with self._lock():
            if self.repository.is_dir():
                if self._holds(self._uri.ref):
                    return self._uri.ref
                try:
                    return self._fetch(self.repository)
                except GitFailed as error:
                    if error.is_outage or "find remote ref" in error.reason:
                        raise self._explained(error) from error
            return self._make_anew()

    def renew(self, commit: str) -> None:
        """Replaces a copy that turned out to be damaged by a new one that has `commit`."""
        with self._lock():
            self._make_anew(commit)

    def run(self, *arguments: str) -> bytes:
        """What a reading git command prints. Raises GitFailed."""
        return run_git(self.repository, *arguments, timeout_seconds=self._timeout_seconds)

    def _make_anew(self, commit: str = "") -> str:
        fresh = Path(tempfile.mkdtemp(prefix=f".{self._name}-", dir=self._folder))
        try:
            self._git(fresh, "init", "--quiet", "--bare", "--template=", "--", str(fresh))
            pinned = self._fetch(fresh)
            if commit not in ("", pinned):
                self._fetch_commit(fresh, commit)
            self._replace(fresh)
        except GitFailed as error:
            raise self._explained(error) from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return pinned

    def _replace(self, fresh: Path) -> None:
        if self.repository.exists():
            self.repository.rename(f"{fresh}.old")
        fresh.rename(self.repository)
        shutil.rmtree(f"{fresh}.old", ignore_errors=True)

    def _fetch(self, repository: Path) -> str:
        ref = self._uri.ref
        if not ref:
            return self._fetch_default(repository)
        try:
            return self._fetch_ref(repository, ref)
        except GitFailed as error:
            if not _COMMIT.fullmatch(ref) or error.is_outage:
                raise
            return self._fetch_commit(repository, ref)

    def _fetch_default(self, repository: Path) -> str:
        """Bundles, and repositories whose default branch was never pushed, have no HEAD: their only branch will do."""
        try:
            return self._fetch_ref(repository, "HEAD")
        except GitFailed as error:
            if "find remote ref" not in error.reason:
                raise
            branches = self._branches(repository)
            if len(branches) != 1:
                raise self._no_default(branches) from error
            return self._fetch_ref(repository, branches[0])

    def _fetch_ref(self, repository: Path, ref: str) -> str:
        kept = f"refs/ratchet/{hashlib.sha256(ref.encode()).hexdigest()[:32]}"
        options = ("--quiet", "--no-tags", "--depth=1", "--no-write-fetch-head")
        self._git(repository, "fetch", *options, "--", self._uri.repository, f"+{ref}:{kept}")
        return self._git(repository, "rev-parse", "--verify", f"{kept}^{{commit}}").decode().strip()

    def _fetch_commit(self, repository: Path, commit: str) -> str:
        """Servers may refuse to send a commit by its id, and bundles cannot: then everything is fetched."""
        try:
            return self._fetch_ref(repository, commit)
        except GitFailed:
            everything = ("+refs/heads/*:refs/ratchet/heads/*", "+refs/tags/*:refs/ratchet/tags/*")
            options = ("--quiet", "--no-write-fetch-head", *self._unshallow(repository))
            self._git(repository, "fetch", *options, "--", self._uri.repository, *everything)
            if not self._holds(commit, repository):
                raise GitFailed(f"couldn't find remote ref {commit}") from None
            return commit

    def _unshallow(self, repository: Path) -> tuple[str, ...]:
        return ("--unshallow",) if (repository / "shallow").exists() else ()

    def _holds(self, commit: str, repository: Path | None = None) -> bool:
        if not _COMMIT.fullmatch(commit):
            return False
        try:
            self._git(repository or self.repository, "cat-file", "-e", f"{commit}^{{commit}}")
        except GitFailed:
            return False
        return True

    def _branches(self, repository: Path) -> list[str]:
        lines = self._git(repository, "ls-remote", "--heads", "--", self._uri.repository).decode(errors="replace")
        return [line.partition("\t")[2].removeprefix("refs/heads/") for line in lines.splitlines()]

    def _git(self, repository: Path, *arguments: str) -> bytes:
        return run_git(repository, *arguments, timeout_seconds=self._timeout_seconds)

    # ── errors ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _no_default(self, branches: list[str]) -> SourceMissing:
        if not branches:
            return SourceMissing(f"{self._uri.repository} has no commit yet. Push one, then ingest it.")
        return SourceMissing(
            f"{self._uri.repository} does not say which of its {len(branches)} branches is the default. Name one, "
            f"such as {GitUri(self._uri.repository, branches[0])}."
        )

    def _explained(self, error: GitFailed) -> SourceMissing | WorthRetrying:
        repository, values = self._uri.repository, {"uri": str(self._uri)}
        if error.is_outage:
            return WorthRetrying(f"{repository} cannot be reached: {error.reason}. Try again later.", **values)
        if "find remote ref" in error.reason:
            return SourceMissing(
                f"{repository} has no branch, tag or commit named {self._uri.ref}. `git ls-remote {repository}` lists "
                "what it has; a commit is named by all digits of its id.",
                **values,
            )
        if self._uri.is_local and not Path(repository).exists():
            return SourceMissing(
                f"The repository {repository} is not there. Check the path, and that it is mounted; an @ or # in a "
                "path is written %40 or %23 after git+file://.",
                **values,
            )
        return SourceMissing(
            f"The repository {repository} cannot be read: {error.reason}. Check the address, and that `git ls-remote "
            f"{repository}` works without asking for a password: a credential helper, ~/.netrc or an SSH key signs in.",
            **values,
        )

    # ── one at a time ────────────────────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """The right to fetch into the copy; freed by the operating system when its holder dies."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / f"{self._name}.lock").open("ab") as file:
            deadline = time.monotonic() + self._timeout_seconds
            while not _taken(file.fileno()):
                if time.monotonic() > deadline:
                    raise WorthRetrying(
                        f"Another run has been fetching {self._uri.repository} for over {self._timeout_seconds:g} s. "
                        "Try again when it is done.",
                    )
                time.sleep(LOOK_AGAIN_SECONDS)
            self._sweep()
            yield

    def _sweep(self) -> None:
        """Removes what killed runs left."""
        for left in self._folder.glob(f".{self._name}-*"):
            shutil.rmtree(left, ignore_errors=True)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
