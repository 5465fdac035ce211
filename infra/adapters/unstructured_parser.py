"""Parsing behind a wall: documents go to a child process that is killed when one takes too long or too much memory."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import version
from pathlib import PurePosixPath
from types import TracebackType
from typing import Any

from infra.adapters.unstructured_formats import KIND_OF_SUFFIX
from infra.offline import QUIET
from tasks.core.documents import Element
from tasks.core.errors import WorthRetrying
from tasks.core.ports import Parsed, Unparsable

START_SECONDS = 120  # importing unstructured takes seconds, and longer on a cold disk
LIBRARIES = ("unstructured", "pypdf", "Markdown", "lxml", "python-docx", "python-pptx", "openpyxl", "pandas")
RULES = 1  # raise whenever the same bytes would give other elements


class UnstructuredParser:
    """Parser in a child process, started with the first document and kept for the rest. Close it, or use `with`."""

    def __init__(
        self,
        *,
        timeout_seconds: float = 60,
        memory_mib: int = 2048,
        max_document_mib: float = 32,
        max_characters: int = 4_000_000,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._memory_mib = memory_mib
        self._max_document_mib = max_document_mib
        self._max_characters = max_characters
        self._child: subprocess.Popen[bytes] | None = None
        self._one_at_a_time = threading.Lock()

    @property
    def fingerprint(self) -> str:
        return _fingerprint()

    @property
    def limits(self) -> str:
        size = f"{self._max_document_mib:g}MiB-{self._max_characters}chars"
        return f"{size}-{self._timeout_seconds:g}s-{self._memory_mib}MiB"

    def refuses(self, uri: str, size_bytes: int) -> str | None:
        mib = size_bytes / 2**20
        if mib <= self._max_document_mib:
            return None
        return (
            f"it has {mib:,.1f} MiB; the limit is {self._max_document_mib:g} MiB. "
            "Split it, or raise RATCHET_MAX_DOCUMENT_MIB"
        )

    def kind(self, uri: str) -> str | None:
        return KIND_OF_SUFFIX.get(PurePosixPath(uri).suffix.lower())

    def parse(self, files: Iterable[tuple[str, bytes]]) -> Iterator[Parsed | Unparsable]:
        for uri, data in files:
            yield Parsed(uri, ()) if not data else self._parse(uri, data)

    def close(self) -> None:
        """Ends the child process."""
        with self._one_at_a_time:
            self._kill()

    def __enter__(self) -> UnstructuredParser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _parse(self, uri: str, data: bytes) -> Parsed | Unparsable:
        kind = self.kind(uri)
        if kind is None:
            return Unparsable(uri, "no reader for files with this name exists")
        try:
            answer = self._ask(kind, data)
        except _TookTooLong:
            limit = f"{self._timeout_seconds:g} s"
            return Unparsable(uri, f"parsing it took over {limit}; simplify it, or raise RATCHET_PARSE_TIMEOUT_SECONDS")
        except _Died as died:
            return Unparsable(uri, f"it crashed the parser twice (exit status {died.status})")
        if "reason" in answer:
            return Unparsable(uri, str(answer["reason"]))
        return Parsed(uri, tuple(Element(*row) for row in answer["elements"]))

    def _ask(self, kind: str, data: bytes) -> dict[str, Any]:
        """The child's answer. A crash may have been somebody else's doing, so the document gets a second child."""
        request = {"kind": kind, "size": len(data), "max_characters": self._max_characters}
        message = json.dumps(request).encode() + b"\n" + data
        with self._one_at_a_time:
            for is_last in (False, True):
                try:
                    return _exchange(self._running(), message, self._timeout_seconds)
                except _TookTooLong:
                    self._kill()
                    raise
                except _Died:
                    self._kill()
                    if is_last:
                        raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            limits = [str(self._memory_mib), str(self._timeout_seconds)]
            self._child = subprocess.Popen(
                [sys.executable, "-m", "infra.adapters.unstructured_child", *limits],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=os.environ | QUIET | {"OMP_NUM_THREADS": "1"},
            )
            try:
                _exchange(self._child, b"", START_SECONDS)
            except (_TookTooLong, _Died) as error:
                self._kill()
                raise WorthRetrying(
                    f"The parsing process did not start ({error}). To see why: "
                    f"{sys.executable} -m infra.adapters.unstructured_child 2048 60 < /dev/null"
                ) from error
        return self._child

    def _kill(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None


class _TookTooLong(Exception):
    """The child was killed because its time was up."""


class _Died(Exception):
    """The child ended by itself."""

    def __init__(self, status: int) -> None:
        super().__init__(f"exit status {status}")
        self.status = status


def _exchange(child: subprocess.Popen[bytes], message: bytes, seconds: float) -> dict[str, Any]:
    """Sends a message and returns the answer. The timer covers both, since a pipe can block either way."""
    assert child.stdin is not None
    assert child.stdout is not None
    out_of_time = threading.Event()

    def end() -> None:
        out_of_time.set()
        child.kill()

    timer = threading.Timer(seconds, end)
    timer.start()
    try:
        child.stdin.write(message)
        child.stdin.flush()
        line = child.stdout.readline()
    except BrokenPipeError:
        line = b""
    finally:
        timer.cancel()
    if line.endswith(b"\n"):
        answer: dict[str, Any] = json.loads(line)
        return answer
    if out_of_time.is_set():
        raise _TookTooLong(f"{seconds:g} s")
    raise _Died(child.wait())


@cache
def _fingerprint() -> str:
    versions = ",".join(f"{name}={version(name)}" for name in LIBRARIES)
    digest = hashlib.sha256(f"{RULES},{versions}".encode()).hexdigest()[:16]
    return f"unstructured-{version('unstructured')}-{digest}"
