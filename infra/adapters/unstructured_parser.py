"""Parsing behind a wall: documents go to a few processes that are killed when one takes too long or too much memory."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from pathlib import PurePosixPath
from types import TracebackType
from typing import Any

from infra.adapters.parsing_process import Died, ParsingProcess, TookTooLong
from infra.adapters.unstructured_formats import KIND_OF_SUFFIX, READABLE, SAVE_AS
from tasks.core.documents import Element
from tasks.core.ports import Parsed, Unparsable

LIBRARIES = (
    "unstructured",
    "pypdf",
    "pypandoc_binary",
    "Markdown",
    "lxml",
    "python-docx",
    "python-pptx",
    "openpyxl",
    "xlrd",
    "python-oxmsg",
)
RULES = 3  # raise whenever the same bytes would give other elements
NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")
MAX_PROCESSES = 4
DOCUMENTS_BEFORE_ANOTHER = 32  # starting a process costs as much as parsing so many
SECONDS_BEFORE_ANOTHER = 5.0  # unless one of them takes long
DOCUMENTS_PER_PROCESS = 1000  # libraries that leak do not add up for ever


class UnstructuredParser:
    """Parser in child processes, started when documents wait for one and kept for the rest. Close it, or use `with`.

    processes: how many documents are parsed at a time; by default one per core, four at most. Each has its own limits
    on time and memory, so together they may take `processes` times `memory_mib`.
    """

    def __init__(
        self,
        *,
        timeout_seconds: float = 60,
        memory_mib: int = 2048,
        max_document_mib: float = 32,
        max_characters: int = 4_000_000,
        processes: int | None = None,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._memory_mib = memory_mib
        self._max_document_mib = max_document_mib
        self._max_characters = max_characters
        self._processes = processes or min(MAX_PROCESSES, os.cpu_count() or 1)
        self._threads: ThreadPoolExecutor | None = None
        self._lock = threading.Condition()
        self._done = 0
        self._idle: list[ParsingProcess] = []
        self._busy: set[ParsingProcess] = set()
        self._is_closing = False

    @property
    def fingerprint(self) -> str:
        return _fingerprint()

    @property
    def readable(self) -> tuple[str, ...]:
        return READABLE

    @property
    def limits(self) -> str:
        size = f"{self._max_document_mib:g}MiB-{self._max_characters}chars"
        return f"{size}-{self._timeout_seconds:g}s-{self._memory_mib}MiB"

    def refuses(self, uri: str, size_bytes: int) -> str | None:
        if better := SAVE_AS.get(PurePosixPath(uri).suffix.lower()):
            return f"{PurePosixPath(uri).suffix.lower()} files cannot be read; save it as {better}"
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
        """Reads ahead of what it returns, by at most two documents per process."""
        waiting: deque[Future[Parsed | Unparsable]] = deque()
        try:
            for uri, data in files:
                waiting.append(self._pool().submit(self._parse, uri, data))
                while waiting and (len(waiting) > 2 * self._processes or waiting[0].done()):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def warm(self, processes: int = 1) -> None:
        """Starts processes now, with what most documents need imported; returns at once."""
        for _ in range(min(processes, self._processes)):
            self._pool().submit(self._ask, ".html", b"")

    def close(self) -> None:
        """Ends the processes. What is being parsed is given up; a later call of `parse` starts anew."""
        with self._lock:
            threads, self._threads, self._is_closing = self._threads, None, True
            for process in (*self._busy, *self._idle):
                process.kill()
        if threads is not None:
            threads.shutdown(cancel_futures=True)
        with self._lock:
            while self._idle:
                self._idle.pop().close()
            self._is_closing = False

    def __enter__(self) -> UnstructuredParser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _pool(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self._processes, "parsing")
            return self._threads

    def _parse(self, uri: str, data: bytes) -> Parsed | Unparsable:
        kind = self.kind(uri)
        if kind is None:
            return Unparsable(uri, "no reader for files with this name exists")
        if refusal := self.refuses(uri, len(data)):
            return Unparsable(uri, refusal)
        if not data:
            return Parsed(uri, ())
        try:
            answer = self._ask(kind, data)
        except TookTooLong:
            limit = f"{self._timeout_seconds:g} s"
            reason = f"parsing it took over {limit}; simplify it, or raise RATCHET_PARSE_TIMEOUT_SECONDS"
            return Unparsable(uri, reason, transient=True)
        except Died as died:
            reason = f"it crashed the parser twice (exit status {died.status})"
            return Unparsable(uri, reason, transient=not died.by_crash)
        if "reason" in answer:
            return Unparsable(uri, answer["reason"], transient=answer.get("transient", False))
        return Parsed(uri, tuple(_storable(Element(*row)) for row in answer["elements"]))

    def _ask(self, kind: str, data: bytes) -> dict[str, Any]:
        """The answer of a process. A crash may have been somebody else's doing, so a document gets a second one."""
        for is_last in (False, True):
            process = self._take()
            is_well = False
            try:
                answer = process.ask(kind, data, self._max_characters)
                # After an allocation has failed, the state of a library is anybody's guess.
                is_well = not answer.get("transient", False) and process.documents < DOCUMENTS_PER_PROCESS
                return answer
            except Died:
                if is_last or self._is_closing:
                    raise
            finally:
                self._put_back(process, is_well)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _take(self) -> ParsingProcess:
        with self._lock:
            self._lock.wait_for(self._may_go_on, timeout=SECONDS_BEFORE_ANOTHER)
            if self._is_closing:  # one that was started now nobody would end
                raise Died(-signal.SIGKILL)
            process = self._idle.pop() if self._idle else ParsingProcess(self._memory_mib, self._timeout_seconds)
            self._busy.add(process)
            return process

    def _may_go_on(self) -> bool:
        """Whether there is a process to take, or enough to do for one more to pay."""
        return bool(self._idle) or self._is_closing or self._done >= DOCUMENTS_BEFORE_ANOTHER * len(self._busy)

    def _put_back(self, process: ParsingProcess, is_well: bool) -> None:
        if not is_well:
            process.close()
        with self._lock:
            self._busy.discard(process)
            self._done += 1
            if is_well:
                self._idle.append(process)
            self._lock.notify_all()


@cache
def _fingerprint() -> str:
    versions = ",".join(f"{name}={version(name)}" for name in LIBRARIES)
    digest = hashlib.sha256(f"{RULES},{versions}".encode()).hexdigest()[:16]
    return f"unstructured-{version('unstructured')}-{digest}"


def _storable(element: Element) -> Element:
    """JSON can spell characters that no database takes: NUL, and halves of a pair. They become U+FFFD."""
    text = NOT_STORABLE.sub("\ufffd", element.text)
    return element if text == element.text else replace(element, text=text)
