"""What a runner does in the environment of its tool: read a job, ingest once, and print what it took as one JSON line.

Standard library and numpy only: every environment imports this file.
"""

from __future__ import annotations

import json
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from counting import CountingEmbedder, texts_embedded

POLL_SECONDS = 0.005
OLD, NEW = "Reviewed edition 1", "Reviewed edition 2"  # the sentence that the edit of 1 % of the files changes


@dataclass(frozen=True)
class Job:
    """One ingestion by one tool."""

    corpus: Path
    state: Path
    mode: str  # what the runner of this tool should do otherwise; "" is its default
    overlap: bool  # the tool's default overlap between chunks instead of none
    milliseconds_per_text: float
    watched: tuple[str, ...]  # files whose old and new versions a reader looks for; none: nobody reads meanwhile
    spawned: float  # time.time() when the process was started


class Tool(Protocol):
    """An opened tool. Everything it made is durable when `ingest` returns."""

    def ingest(self) -> int:
        """Brings the index up to date with the corpus; returns how many rows it put in, replaced or took out."""

    def count(self) -> int:
        """Rows that a reader can find now."""

    def documents(self) -> dict[str, int]:
        """How many rows a reader can find now of each file; files are named relative to the corpus."""

    def texts_with(self, phrase: str) -> list[tuple[str, str]]:
        """(file, text) of every row a reader can find now whose text has the phrase."""


@dataclass
class Sight:
    """What a reader saw who looked again and again while a run was going on."""

    finds_old: bool  # whether the watched files were there before the run
    counts: list[int] = field(default_factory=list)
    both: int = 0  # most watched files that showed their old and their new version at once
    neither: int = 0  # most watched files that showed no version, although they had one before
    mixed: int = 0  # polls at which the watched files were neither all old nor all new
    failed: int = 0  # polls that the store refused

    def as_json(self, final: int) -> dict[str, object]:
        partial = sorted(count / final for count in self.counts if 0 < count < final) if final else []
        return {
            "polls": len(self.counts),
            "partial_polls": len(partial),
            "least_visible": partial[0] if partial else None,
            "both": self.both,
            "neither": self.neither,
            "mixed_polls": self.mixed,
            "failed_polls": self.failed,
        }


def run(
    open_tool: Callable[[Job, CountingEmbedder], Tool], package: str, child_rss_mib: Callable[[], float] = lambda: 0.0
) -> None:
    """Opens the tool, ingests once, and prints the result.

    package: whose version is reported. child_rss_mib: the peak of a process that the tool started for itself.
    """
    raw = json.loads(sys.argv[1])
    job = Job(**raw | {"corpus": Path(raw["corpus"]), "state": Path(raw["state"]), "watched": tuple(raw["watched"])})
    log = job.state / "embedded.log"
    embedded_before = texts_embedded(log)
    start_seconds = time.time() - job.spawned
    began = time.perf_counter()
    tool = open_tool(job, CountingEmbedder(log, job.milliseconds_per_text))
    open_seconds = time.perf_counter() - began
    sight = Sight(finds_old=bool(job.watched) and bool(tool.texts_with(OLD)))
    began = time.perf_counter()
    with _watching(tool, job, sight):
        written = tool.ingest()
        seconds = time.perf_counter() - began
    rss = peak_rss_mib()
    rows = tool.count()
    result: dict[str, Any] = {
        "version": version(package),
        "start_seconds": start_seconds,
        "open_seconds": open_seconds,
        "seconds": open_seconds + seconds,
        "embedded": texts_embedded(log) - embedded_before,
        "written": written,
        "rows": rows,
        "documents": tool.documents(),
        "peak_rss_mib": rss + child_rss_mib(),
        "reader": sight.as_json(rows) if job.watched else None,
    }
    print(f"\n{json.dumps(result)}", flush=True)


@contextmanager
def _watching(tool: Tool, job: Job, sight: Sight) -> Iterator[None]:
    if not job.watched:
        yield
        return
    over = threading.Event()
    reader = threading.Thread(target=_read, args=(tool, job, sight, over))
    reader.start()
    try:
        yield
    finally:
        over.set()
        reader.join()


def _read(tool: Tool, job: Job, sight: Sight, over: threading.Event) -> None:
    while not over.wait(POLL_SECONDS):
        try:
            count, rows = tool.count(), tool.texts_with("Reviewed edition")
        except Exception:  # noqa: BLE001 - whatever the store raises, a reader got no answer: that is the measurement
            sight.failed += 1
            continue
        old = {document for document, text in rows if OLD in text and document in job.watched}
        new = {document for document, text in rows if NEW in text and document in job.watched}
        sight.counts.append(count)
        if sight.finds_old:
            everyone = set(job.watched)
            sight.both = max(sight.both, len(old & new))
            sight.neither = max(sight.neither, len(everyone - old - new))
            sight.mixed += (old, new) not in ((everyone, set()), (set(), everyone))


def peak_rss_mib() -> float:
    """The most memory this process ever held. getrusage is wrong after a fork from a bigger process: /proc first."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
