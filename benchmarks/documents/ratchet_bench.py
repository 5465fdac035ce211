"""The documents stage as `ratchet` assembles it, with the counting embedder in the place of the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from infra.settings import load_settings
from infra.workbench import Workbench
from tasks.core.documents import Element
from tasks.core.ingestion import IngestReport
from tasks.core.ports import Embedder, Parsed, Parser, Unparsable
from tasks.documents import DocumentsBench, holding_lease, plan, read
from tasks.snapshots import build, embed, publish
from tasks.sources import resolve_sources, scan


@dataclass(frozen=True)
class PlainMarkdown:
    """Parser without a library or a child process: a line that begins with # is a heading, an empty line ends a block.

    For measuring what Ratchet itself costs, and for comparing with tools that only read text.
    """

    fingerprint: str = "plain-markdown-1"
    limits: str = "none"
    readable: tuple[str, ...] = (".md",)

    def refuses(self, uri: str, size_bytes: int) -> str | None:
        return None

    def kind(self, uri: str) -> str | None:
        return ".md" if PurePosixPath(uri).suffix == ".md" else None

    def parse(self, files: Iterable[tuple[str, bytes]]) -> Iterator[Parsed | Unparsable]:
        for uri, data in files:
            blocks = filter(None, (block.strip() for block in data.decode().split("\n\n")))
            yield Parsed(uri, tuple(_element(block) for block in blocks))


def _element(block: str) -> Element:
    marks, _, title = block.partition(" ")
    is_heading = bool(marks) and not marks.strip("#") and len(marks) <= 6
    return Element("heading", title, level=len(marks)) if is_heading else Element("paragraph", block)


def open_bench(
    home: Path, embedder: Embedder | None = None, parser: Parser | None = None, assistant: str = "default"
) -> DocumentsBench:
    """The bench of an installation in `home`; the real embedder and parser where none is given. Close the parser."""
    bench = Workbench(assistant, load_settings(home=home, database_url=None)).documents
    return replace(
        bench,
        embedder=embedder or bench.embedder,
        parser=parser or bench.parser,
        max_delete_fraction=1.0,
    )


def close(bench: DocumentsBench) -> None:
    """Ends the parsing process, if there is one."""
    end = getattr(bench.parser, "close", None)
    if end is not None:
        end()


def ingest(bench: DocumentsBench, folder: Path) -> IngestReport:
    """The steps in the order of the flow `reingest-docs`, without Prefect around them."""
    with holding_lease(bench) as lease:
        todo = plan(bench, scan(bench, resolve_sources(bench, str(folder))))
        embedded = embed(bench, read(bench, todo, lease), lease)
        return publish(bench, build(bench, embedded, lease), lease)
