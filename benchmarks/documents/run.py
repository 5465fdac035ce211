"""Measures incremental ingestion side by side: Ratchet, CocoIndex, LangChain's index() and LlamaIndex's pipeline.

    .venv/bin/python benchmarks/documents/run.py                       # 300 files: about a quarter of an hour
    .venv/bin/python benchmarks/documents/run.py --files 3000 --repeat 3
    .venv/bin/python benchmarks/documents/run.py --tools ratchet,cocoindex --no-watch

Every tool gets the same files, the same edits and the same embedder, which only counts, and keeps its state on disk as
its own documentation recommends (see the runners under `peers/`). Every ingestion is a process of its own; `seconds`
are measured inside it, from opening the stores to the moment everything is durable, without starting the interpreter
and importing libraries. What a reader sees is measured in separate runs, in which a text takes `--ms-per-text`.
The first run of a peer installs it under `benchmarks/.envs`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from corpus import Corpus, Scenario, generate, make_old, scenarios
from environments import HERE, NotInstalled, environment, python_of
from table import markdown

SETTLE_SECONDS = 2.1  # nobody can trust the times of a file written within the last two seconds
WATCHED = ("first run", "1 % of the pages edited")

Result = dict[str, Any]  # one line of JSON, as a runner printed it


@dataclass(frozen=True)
class Competitor:
    """A tool in one of its modes."""

    name: str
    runner: str
    mode: str = ""
    peer: str = ""  # whose environment it runs in; "": this one


COMPETITORS = (
    Competitor("ratchet", "ratchet_run.py"),
    Competitor("ratchet-plain", "ratchet_run.py", "plain"),
    Competitor("ratchet-weaviate", "ratchet_run.py", "weaviate"),
    Competitor("cocoindex", "cocoindex_run.py", "", "cocoindex"),
    Competitor("langchain-incremental", "langchain_run.py", "incremental", "langchain"),
    Competitor("langchain-scoped_full", "langchain_run.py", "scoped_full", "langchain"),
    Competitor("langchain-full", "langchain_run.py", "full", "langchain"),
    Competitor("langchain-full+cache", "langchain_run.py", "full+cache", "langchain"),
    Competitor("llamaindex", "llamaindex_run.py", "", "llamaindex"),
    Competitor("llamaindex+cache", "llamaindex_run.py", "cache", "llamaindex"),
)


class NotRun(Exception):
    """Why a tool has no result."""


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    files: int
    chunks_per_file: int
    seed: int
    repeat: int
    tools: tuple[str, ...]
    overlap: bool
    watch: bool
    ms_per_text: float
    timeout_seconds: float
    work: Path
    output: Path


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    master = generate(options.work / "master", options.files, options.chunks_per_file, options.seed)
    chosen = [one for one in COMPETITORS if one.name in options.tools]
    timed: dict[str, list[dict[str, Result]]] = {one.name: [] for one in chosen}
    watched: dict[str, dict[str, Result]] = {}
    failures: dict[str, str] = {}
    rounds = [False] * options.repeat + [True] * options.watch
    for is_watched in rounds:  # tools take turns, so that a busy minute of the machine does not hit one of them alone
        for competitor in chosen:
            if competitor.name in failures:
                continue
            try:
                results = dict(_chain(options, master, competitor, is_watched=is_watched))
            except (NotRun, NotInstalled) as error:
                failures[competitor.name] = str(error)
                print(f"{competitor.name}: not run: {error}", file=sys.stderr, flush=True)
                continue
            if is_watched:
                watched[competitor.name] = results
            else:
                timed[competitor.name].append(results)
    report = _report(options, master, timed, watched, failures)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(report, indent=1) + "\n")
    shutil.rmtree(options.work)
    print(markdown(report))


def _options(arguments: Sequence[str] | None) -> Options:
    names = ",".join(one.name for one in COMPETITORS)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--chunks-per-file", type=int, default=10)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--repeat", type=int, default=1, help="chains per tool; medians are reported")
    parser.add_argument("--tools", default=names, help=f"comma-separated, of {names}")
    parser.add_argument("--overlap", action="store_true", help="each splitter's default overlap instead of none")
    parser.add_argument("--no-watch", dest="watch", action="store_false", help="leave out what a reader sees")
    parser.add_argument("--ms-per-text", type=float, default=2.0, help="how slow the embedder is while a reader reads")
    parser.add_argument("--timeout-seconds", type=float, default=3600, help="for one ingestion")
    parser.add_argument("--work", type=Path, default=HERE.parent / "work", help="scratch folder; deleted at the end")
    parser.add_argument("--output", type=Path, default=HERE.parent / "results" / "documents.json")
    values = vars(parser.parse_args(arguments))
    tools = tuple(values["tools"].split(","))
    unknown = set(tools) - {one.name for one in COMPETITORS}
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {names}")
    return Options(**values | {"tools": tools, "work": values["work"].resolve()})


# ── one tool, from the first run to the last edit ────────────────────────────────────────────────────────────────────


def _chain(
    options: Options, master: Corpus, competitor: Competitor, *, is_watched: bool
) -> Iterator[tuple[str, Result]]:
    """(scenario, result) of each ingestion; each begins where the one before ended. Raises NotRun, NotInstalled."""
    python = _python(competitor)
    folder = options.work / "chain"  # for everybody: LlamaIndex cuts chunks by the length of the path, too
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "state").mkdir(parents=True)
    corpus = replace(master, root=folder / "pages")
    shutil.copytree(master.root, corpus.root)
    make_old(corpus.root)
    for scenario in scenarios():
        if is_watched and scenario.name not in WATCHED:
            continue
        scenario.change(corpus)
        time.sleep(SETTLE_SECONDS)
        result = _ingest(options, competitor, python, folder, corpus, is_watched=is_watched)
        yield scenario.name, _checked(result, corpus, scenario)
        print(f"{competitor.name}: {scenario.name}: {result['seconds']:.2f} s", file=sys.stderr, flush=True)
    shutil.rmtree(folder)


def _python(competitor: Competitor) -> Path:
    if competitor.mode == "weaviate" and not os.environ.get("RATCHET_WEAVIATE_URL"):
        raise NotRun("RATCHET_WEAVIATE_URL is not set")
    return python_of(competitor.peer) if competitor.peer else Path(sys.executable)


def _ingest(
    options: Options, competitor: Competitor, python: Path, folder: Path, corpus: Corpus, *, is_watched: bool
) -> Result:
    variables = environment()
    if competitor.mode != "weaviate":
        variables = {name: value for name, value in variables.items() if not name.startswith("RATCHET_")}
    job = {
        "corpus": str(corpus.root),
        "state": str(folder / "state"),
        "mode": competitor.mode,
        "overlap": options.overlap,
        "milliseconds_per_text": options.ms_per_text if is_watched else 0,
        "watched": corpus.edited if is_watched else (),
        "spawned": time.time(),
    }
    command = [str(python), str(HERE / "peers" / competitor.runner), json.dumps(job)]
    try:
        done = subprocess.run(
            command, env=variables, cwd=folder, capture_output=True, text=True, timeout=options.timeout_seconds
        )
    except subprocess.TimeoutExpired as error:
        raise NotRun(f"one ingestion took over {options.timeout_seconds:g} s") from error
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise NotRun(lines[-1] if lines else f"exit status {done.returncode}")
    result: Result = json.loads(done.stdout.splitlines()[-1])
    return result


def _checked(result: Result, corpus: Corpus, scenario: Scenario) -> Result:
    """With what is wrong in the index, and what share of the long pages was embedded, instead of every file's rows."""
    documents = result.pop("documents")
    present = corpus.present
    return result | {
        "least": scenario.least(corpus),
        "deleted_but_found": len(set(documents) - present),
        "there_but_not_found": len(present - set(documents)),
        "rows_of_long_pages": sum(documents.get(page, 0) for page in corpus.long_pages),
    }


# ── the report ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _report(
    options: Options,
    master: Corpus,
    timed: dict[str, list[dict[str, Result]]],
    watched: dict[str, dict[str, Result]],
    failures: dict[str, str],
) -> dict[str, Any]:
    finished = {name: chains for name, chains in timed.items() if name not in failures}
    return {
        "options": {name: value for name, value in asdict(options).items() if not isinstance(value, Path)},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "date": time.strftime("%Y-%m-%d"),
        "edited": len(master.edited),
        "long_pages": len(master.long_pages),
        "scenarios": [scenario.name for scenario in scenarios()],
        "tools": list(timed),
        "results": {
            name: {s: _medians([c[s] for c in chains]) for s in chains[0]} for name, chains in finished.items()
        },
        "watched": {name: results for name, results in watched.items() if name not in failures},
        "not_run": failures,
    }


def _medians(repeats: Sequence[Result]) -> Result:
    first = repeats[0]
    numbers = {name for name, value in first.items() if isinstance(value, int | float)}
    return first | {name: median(repeat[name] for repeat in repeats) for name in numbers}


if __name__ == "__main__":
    main()
