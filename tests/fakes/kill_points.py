"""Kills an ingest at every call it makes to the outside, one after another, and reports what a second run makes of it.

Run by `test_kill_anywhere.py` as a process of its own, because it forks: `python kill_points.py FOLDER STEP`, where
only every STEP-th call is a kill point (1: all of them, a minute).
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from document_fakes import MemorySource, WordEmbedder, ingest, new_bench, new_catalog
from interruptions import ending_at, kill_process

from tasks.core.ingestion import IngestReport

SECTIONS = 180  # nearly three batches of embeddings
PAGES = 3


def corpus(version: int) -> MemorySource:
    """Version 2 has most sections changed, a page gone and a page more."""
    source = MemorySource({})
    for page in range(PAGES):
        sections = (f"## Part {page}-{n}\n\nIt runs at {n * version} bar." for n in range(SECTIONS // PAGES))
        source.write(f"page-{page}.md", f"# Page {page}\n\n" + "\n\n".join(sections))
    if version == 2:
        source.contents["new.md"] = source.contents.pop("page-0.md").replace(b"runs", b"ran")
    return source


def run(folder: Path, version: int, kill_at: int | None) -> IngestReport:
    """One ingest in this process."""
    engine = new_catalog(folder)
    bench = new_bench(folder, corpus(version), engine=engine)
    log = folder / "embedded.log"
    assert isinstance(bench.embedder, WordEmbedder)
    embedder = bench.embedder

    class Logged(WordEmbedder):
        def embed(self, texts: Any) -> Any:
            with log.open("a") as file:
                file.write("x" * len(texts))
            return embedder.embed(texts)

    bench = replace(bench, embedder=Logged())
    if kill_at is not None:
        bench = ending_at(bench, kill_at, kill_process)
    return ingest(bench)


def in_child(work: Callable[[], object]) -> int:
    """Status of a process that did the work: 0, or minus the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def observed(folder: Path) -> dict[str, object]:
    """What a reader sees, and what lies about unseen."""
    bench = new_bench(folder, engine=new_catalog(folder))
    snapshot = bench.catalog.published("default")
    assert snapshot is not None
    promised = set(bench.catalog.chunk_keys("default", snapshot.number))
    return {
        "snapshot": snapshot.number,
        "manifest_hash": snapshot.manifest_hash,
        "whole": bench.index.chunk_ids(snapshot.collection, snapshot.number) == promised,
        "leftovers": len(bench.index.chunk_ids(snapshot.collection, 10**6) ^ promised),
    }


def recover(folder: Path) -> None:
    """What the next person finds, and what their run makes of it."""
    after_kill = observed(folder)
    run(folder, 2, None)
    answer = {"after_kill": after_kill, "after_rerun": observed(folder)}
    (folder / "answer.json").write_text(json.dumps(answer))


def main(folder: Path, step: int) -> None:
    """One line of JSON per kill point, until a run gets to its end."""
    start = folder / "start"
    start.mkdir()
    in_child(lambda: run(start, 1, None))
    calls = 0
    while True:
        calls += step
        case = folder / f"case-{calls}"
        shutil.copytree(start, case)
        (case / "embedded.log").write_text("")
        status = in_child(lambda: run(case, 2, calls))  # noqa: B023
        if in_child(lambda: recover(case)) != 0:  # noqa: B023
            sys.exit(f"The run after a kill at call {calls} failed.")
        embedded = len((case / "embedded.log").read_text())
        answer = json.loads((case / "answer.json").read_text())
        print(json.dumps({"calls": calls, "status": status, "embedded": embedded, **answer}), flush=True)
        shutil.rmtree(case)
        if status == 0:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
