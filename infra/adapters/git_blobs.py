"""The bytes of a repository's files, asked from one `git cat-file --batch` that is kept for all of them."""

from __future__ import annotations

import subprocess
import threading
import weakref
from pathlib import Path

from infra.adapters.git_command import GitFailed, git_command, git_environment


class GitBlobs:
    """Reads blobs by id. The child process starts with the first one and ends at `close`, or with this object."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self._child: subprocess.Popen[bytes] | None = None
        self._end: weakref.finalize[[subprocess.Popen[bytes]], GitBlobs] | None = None
        self._one_at_a_time = threading.Lock()

    def read(self, blob: str) -> bytes:
        """Raises GitFailed when the repository does not hold it whole."""
        with self._one_at_a_time:
            try:
                return self._exchange(self._running(), blob)
            except (GitFailed, OSError) as error:
                self._stop()
                if isinstance(error, GitFailed):
                    raise
                raise GitFailed(f"git cat-file ended while it was asked for {blob}") from error

    def close(self) -> None:
        """Ends the child process; a later `read` starts another."""
        with self._one_at_a_time:
            self._stop()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            self._child = subprocess.Popen(
                git_command(self._repository, "cat-file", "--batch"),
                env=git_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            self._end = weakref.finalize(self, _end, self._child)
        return self._child

    def _exchange(self, child: subprocess.Popen[bytes], blob: str) -> bytes:
        if child.stdin is None or child.stdout is None:
            raise GitFailed("git cat-file has no pipes")
        child.stdin.write(blob.encode() + b"\n")
        child.stdin.flush()
        words = child.stdout.readline().split()
        if len(words) != 3 or words[1] != b"blob":  # "<id> missing", or nothing from a child that died
            raise GitFailed(f"git cat-file does not find {blob}")
        size = int(words[2])
        data = child.stdout.read(size + 1)
        if len(data) != size + 1:
            raise GitFailed(f"git cat-file ended after {len(data):,} of {size:,} bytes of {blob}")
        return data[:-1]

    def _stop(self) -> None:
        if self._end is not None:
            self._end()
        self._child = self._end = None


def _end(child: subprocess.Popen[bytes]) -> None:
    child.kill()  # it only reads
    child.communicate()
