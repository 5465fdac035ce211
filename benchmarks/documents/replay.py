"""Replays the history of a git repository, revision by revision, and compares what is embedded with the least possible.

    .venv/bin/python benchmarks/documents/replay.py docs.bundle
    .venv/bin/python benchmarks/documents/replay.py ~/src/project --folder docs --every 10 --verify-every 20

The least possible is the number of texts of a revision that no earlier revision had, under Ratchet's own chunker. With
`--peers`, LangChain's Markdown splitter cuts the same files (its environment is installed when it is not there): what
`index()` embeds is what its record manager does not know from the revision before, and with CacheBackedEmbeddings, what
no earlier revision had. At every `--verify-every`-th revision the snapshot must equal one that is built from nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from counting import CountingEmbedder, texts_embedded
from environments import HERE, QUIET, NotInstalled, python_of
from ratchet_bench import close, ingest, open_bench

from tasks.core.ports import Parser

WORST = 5


@dataclass(frozen=True)
class Replayed:
    """One revision. langchain: texts embedded by `index()`, and with a cache; None where it was not measured."""

    revision: str
    chunks: int
    embedded: int
    least: int
    seconds: float
    verified: bool
    langchain: tuple[int, int] | None


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    with tempfile.TemporaryDirectory() as scratch, _splitter(options.peers) as splitter:
        clone = Path(scratch, "clone")
        _git("clone", "--quiet", "--no-checkout", str(options.repository.resolve()), str(clone))
        revisions = _git("-C", str(clone), "rev-list", "--first-parent", "--reverse", _tip(clone)).split()
        chosen = [one for number, one in enumerate(revisions) if number % options.every == 0 or one == revisions[-1]]
        replayed = list(_replay(options, clone, Path(scratch), chosen, splitter))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps([asdict(one) for one in replayed], indent=1) + "\n")
    print(_summary(replayed))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", type=Path, help="a git repository, or a bundle of one")
    parser.add_argument("--folder", default=".", help="the folder of it that holds the documents")
    parser.add_argument("--every", type=int, default=1, help="replay every n-th revision, and the last")
    parser.add_argument("--verify-every", type=int, default=25, help="rebuild from nothing at every n-th of those")
    parser.add_argument("--peers", action="store_true", help="count what LangChain would embed as well")
    parser.add_argument("--output", type=Path, help="where to write the revisions as JSON")
    return parser.parse_args(arguments)


def _tip(clone: Path) -> str:
    """The branch the repository was on, or its first one: a bundle can be without a HEAD."""
    branches = _git("-C", str(clone), "for-each-ref", "--format=%(refname)", "refs/remotes").split()
    return min(branches, key=lambda name: name != "refs/remotes/origin/HEAD")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout


def _replay(
    options: argparse.Namespace, clone: Path, scratch: Path, revisions: Sequence[str], splitter: _Splitter | None
) -> Iterator[Replayed]:
    log = scratch / "embedded.log"
    bench = open_bench(scratch / "home", CountingEmbedder(log))
    seen: set[str] = set()
    try:
        for number, revision in enumerate(revisions):
            _git("-C", str(clone), "checkout", "--quiet", "--detach", revision)
            folder = clone / options.folder
            if not any(folder.rglob("*.md")):
                continue
            before = texts_embedded(log)
            report = ingest(bench, folder)
            chunks = bench.catalog.chunks(bench.assistant, report.snapshot).values()
            texts = {chunk.embedded_text for chunk in chunks}
            is_verified = number % options.verify_every == 0 or revision == revisions[-1]
            if is_verified:
                _verify(bench.parser, folder, report.manifest_hash, revision)
            yield Replayed(
                revision=revision[:12],
                chunks=len(chunks),
                embedded=texts_embedded(log) - before,
                least=len(texts - seen),
                seconds=report.seconds,
                verified=is_verified,
                langchain=splitter.embeds(folder) if splitter else None,
            )
            seen |= texts
            print(f"\r{number + 1} of {len(revisions)}", end="", file=sys.stderr, flush=True)
    finally:
        print(file=sys.stderr)
        close(bench)


def _verify(parser: Parser, folder: Path, manifest_hash: str, revision: str) -> None:
    """Builds the same snapshot from nothing. Ends the program when it is another."""
    with tempfile.TemporaryDirectory() as home:
        fresh = open_bench(Path(home), CountingEmbedder(Path(home, "embedded.log")), parser)
        rebuilt = ingest(fresh, folder).manifest_hash
    if rebuilt != manifest_hash:
        raise SystemExit(f"At {revision} the snapshot is {manifest_hash}; built from nothing it is {rebuilt}.")


# ── the peer ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Splitter:
    """LangChain's splitter in a process of its own environment, and what its index would know."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._indexed: set[tuple[str, str]] = set()
        self._cached: set[str] = set()

    def embeds(self, folder: Path) -> tuple[int, int]:
        """Texts to embed for this revision: without a cache, and with one."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{folder}\n")
        self._process.stdin.flush()
        chunks = {(source, text) for source, text in json.loads(self._process.stdout.readline())}
        texts = {text for _, text in chunks}
        counts = len(chunks - self._indexed), len(texts - self._cached)
        self._indexed = chunks
        self._cached |= texts
        return counts


@contextmanager
def _splitter(is_wanted: bool) -> Iterator[_Splitter | None]:
    if not is_wanted:
        yield None
        return
    try:
        command = [str(python_of("langchain")), str(HERE / "peers" / "langchain_splitter.py")]
    except NotInstalled as error:
        print(f"LangChain: not run: {error}", file=sys.stderr)
        yield None
        return
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | QUIET
    ) as process:
        yield _Splitter(process)


# ── the report ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _summary(replayed: Sequence[Replayed]) -> str:
    embedded, least = sum(one.embedded for one in replayed), sum(one.least for one in replayed)
    later = replayed[1:]
    lines = [
        f"{len(replayed):,} revisions, {replayed[-1].chunks:,} chunks at the end.",
        f"Embedded {embedded:,} texts; the least possible is {least:,} (+{embedded / max(1, least) - 1:.2%}).",
        f"After the first revision: {sum(one.embedded for one in later):,} of {sum(one.least for one in later):,}.",
        f"{sum(one.verified for one in replayed)} snapshots equal a rebuild from nothing.",
        f"Slowest ingestion after the first: {max((one.seconds for one in later), default=0):.2f} s.",
    ]
    measured = [one.langchain for one in replayed if one.langchain is not None]
    if measured:
        plain, cached = (sum(counts) for counts in zip(*measured, strict=True))
        lines.append(
            f"LangChain's splitter: {plain:,} texts ({plain / max(1, embedded):.1f}×), with CacheBackedEmbeddings "
            f"{cached:,} ({cached / max(1, embedded):.1f}×)."
        )
    worst = sorted(replayed, key=lambda one: one.embedded - one.least, reverse=True)[:WORST]
    lines += ["", "| revision | chunks | embedded | least | LangChain | with cache |", "| --- |" + " ---: |" * 5]
    for one in worst:
        plain_count, cached_count = one.langchain or ("", "")
        lines.append(
            f"| {one.revision} | {one.chunks} | {one.embedded} | {one.least} | {plain_count} | {cached_count} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
