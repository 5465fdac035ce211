"""Retrieval on the Cranfield collection, through the real pipeline: parser, chunker, MiniLM and the embedded index.

    .venv/bin/python benchmarks/documents/cranfield.py FOLDER
    .venv/bin/python benchmarks/documents/cranfield.py FOLDER --home /data/cranfield    # keeps the vectors

FOLDER holds the collection in TREC form: cran.all.1400.xml, cran.qry.xml and cranqrel.trec.txt. The judgments number
the queries 1 to 225 in the order of the file, whatever its <num> says; two of the 1,400 documents are empty. A
document's score is that of its best chunk. nDCG@10 and R@100 are computed by `ir-measures`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import get_args

from ratchet_bench import close, ingest, open_bench

from tasks.core.documents import Snapshot
from tasks.core.releases import RetrievalSettings
from tasks.documents import DocumentsBench

FILES = ("cran.all.1400.xml", "cran.qry.xml", "cranqrel.trec.txt")
DEPTH = 200  # chunks asked for: enough for 100 documents

Ranking = dict[str, float]  # document → score


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--home", type=Path, help="where to keep catalog and index; default: nowhere")
    parser.add_argument("--fusions", default=",".join(_fusions()), help="comma-separated")
    parser.add_argument("--output", type=Path, help="where to write the result as JSON")
    options = parser.parse_args(arguments)
    missing = [name for name in FILES if not (options.folder / name).exists()]
    if missing:
        print(f"Skipped: {options.folder} has no {', '.join(missing)}.", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as scratch:
        home = options.home or Path(scratch)
        bench = open_bench(home)
        try:
            report = _measure(bench, options.folder, home / "pages", options.fusions.split(","))
        finally:
            close(bench)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(report, indent=1) + "\n")
    print(_table(report))


def _fusions() -> tuple[str, ...]:
    """Every way of ranking that a release can be set to."""
    return get_args(RetrievalSettings.model_fields["fusion"].annotation)


def _measure(bench: DocumentsBench, collection: Path, pages: Path, fusions: Sequence[str]) -> dict[str, object]:
    _write_pages(collection, pages)
    done = ingest(bench, pages)
    snapshot = bench.catalog.published(bench.assistant)
    assert snapshot is not None
    queries = _queries(collection)
    vectors = bench.embedder.embed_queries(list(queries.values()))
    qrels = _qrels(collection)
    results = {}
    for fusion in fusions:
        started = time.perf_counter()
        settings = RetrievalSettings.model_validate({"candidates": DEPTH, "fusion": fusion})
        settings = settings.model_copy(update={"k": DEPTH})  # an answer is shown 50 at most; rankings are judged deeper
        run = {
            query: _search(bench, snapshot, text, vector, settings)
            for (query, text), vector in zip(queries.items(), vectors, strict=True)
        }
        seconds = time.perf_counter() - started
        results[fusion] = _scores(qrels, run) | {"ms_per_query": 1000 * seconds / len(queries)}
    return {
        "documents": sum(done.documents[kind] for kind in ("added", "changed", "unchanged")),
        "chunks": done.chunks["live"],
        "queries": len(queries),
        "embedder": bench.embedder.fingerprint,
        "results": results,
    }


def _search(
    bench: DocumentsBench, snapshot: Snapshot, text: str, vector: object, settings: RetrievalSettings
) -> Ranking:
    hits = bench.index.search(snapshot.collection, snapshot.number, text, vector, settings)  # type: ignore[arg-type]
    ranking: Ranking = {}
    for hit in hits:
        ranking.setdefault(Path(hit.chunk.document).stem, hit.score)
    return ranking


def _scores(qrels: Mapping[str, Mapping[str, int]], run: Mapping[str, Ranking]) -> dict[str, float]:
    import ir_measures

    measures = [ir_measures.nDCG @ 10, ir_measures.R @ 100]
    found = ir_measures.calc_aggregate(measures, qrels, run)
    return {str(measure): float(found[measure]) for measure in measures}


# ── the collection ───────────────────────────────────────────────────────────────────────────────────────────────────


def _write_pages(collection: Path, pages: Path) -> None:
    """One Markdown page per document, with its title as heading. An empty document is an empty page."""
    pages.mkdir(parents=True, exist_ok=True)
    for number, title, text in _documents(collection):
        body = text.removeprefix(title).strip()
        page = f"# {' '.join(title.split())}\n\n{body}\n" if title or body else ""
        (pages / f"{number}.md").write_text(page, encoding="utf-8")


def _documents(collection: Path) -> Iterator[tuple[str, str, str]]:
    """(number, title, text). The file has no root element, so no XML parser reads it."""
    for document in re.findall(r"<doc>(.*?)</doc>", (collection / FILES[0]).read_text(), re.DOTALL):
        yield _field(document, "docno"), _field(document, "title"), _field(document, "text")


def _queries(collection: Path) -> dict[str, str]:
    """Number in the judgments → text."""
    topics = re.findall(r"<top>(.*?)</top>", (collection / FILES[1]).read_text(), re.DOTALL)
    return {str(number): " ".join(_field(topic, "title").split()) for number, topic in enumerate(topics, start=1)}


def _field(text: str, name: str) -> str:
    found = re.search(rf"<{name}>(.*?)</{name}>", text, re.DOTALL)
    return found[1].strip() if found else ""


def _qrels(collection: Path) -> dict[str, dict[str, int]]:
    """Query → document → relevance. A -1 in some copies is a slip for 1; what is below is not relevant."""
    qrels: dict[str, dict[str, int]] = {}
    for line in (collection / FILES[2]).read_text().splitlines():
        query, _, document, relevance = line.split()
        qrels.setdefault(query, {})[document] = abs(int(relevance))
    return qrels


def _table(report: Mapping[str, object]) -> str:
    results = report["results"]
    assert isinstance(results, dict)
    names = list(next(iter(results.values())))
    lines = [
        f"{report['documents']:,} documents, {report['chunks']:,} chunks, {report['queries']} queries.",
        "",
        f"| | {' | '.join(names)} |",
        "| --- |" + " ---: |" * len(names),
    ]
    lines += [f"| {fusion} | {' | '.join(f'{row[name]:.3f}' for name in names)} |" for fusion, row in results.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
