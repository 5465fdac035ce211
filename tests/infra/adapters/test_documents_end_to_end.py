"""The documents stage with nothing replaced: real files, unstructured, MiniLM, the catalog and the embedded index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from document_fakes import find, ingest, new_bench, new_catalog

from infra.adapters.minilm_embedder import MiniLmEmbedder
from infra.adapters.unstructured_parser import UnstructuredParser
from tasks.documents import DocumentsBench

MARKDOWN = """# Halden 300 pump

## Operating limits

The Halden 300 runs at up to 42 bar and must not run dry.

## Maintenance

Replace the shaft seal every two years.
"""
HTML = "<html><body><h1>Visitors</h1><p>Guests sign in at the front desk and wear a badge.</p></body></html>"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[DocumentsBench]:
    engine = new_catalog(tmp_path)
    with UnstructuredParser() as parser:
        yield replace(new_bench(tmp_path, engine=engine), parser=parser, embedder=MiniLmEmbedder())
    engine.dispose()


def test_a_folder_of_documents_becomes_searchable_and_follows_its_edits(bench: DocumentsBench, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "pump.md").write_text(MARKDOWN)
    (docs / "visitors.html").write_text(HTML)
    (docs / "caf\xe9.txt").write_bytes("Das Caf\xe9 \xf6ffnet um zw\xf6lf.".encode("latin-1"))
    (docs / "broken.docx").write_bytes(b"\x00\x01" * 1000)
    (docs / "photo.jpg").write_bytes(b"...")
    first = ingest(bench, str(docs))
    assert first.documents == {"added": 3, "changed": 0, "deleted": 0, "unchanged": 0, "quarantined": 1}
    assert (first.chunks["live"], first.embeds, first.skipped) == (4, 4, 1)

    again = ingest(bench, str(docs))
    assert (again.is_new, again.embeds, again.manifest_hash) == (False, 0, first.manifest_hash)

    (docs / "pump.md").write_text(MARKDOWN.replace("42 bar", "45 bar"))
    (docs / "visitors.html").rename(docs / "guests.html")
    second = ingest(bench, str(docs))
    assert (second.embeds, second.documents["changed"], second.documents["added"]) == (1, 1, 1)

    for number, text in ((1, "42 bar"), (2, "45 bar")):
        question = "What pressure may the pump reach?"
        (hit,) = find(bench, number, question, k=1)
        assert (hit.chunk.document, hit.chunk.heading_path) == ("pump.md", ("Halden 300 pump", "Operating limits"))
        assert text in hit.chunk.text

    engine = new_catalog(tmp_path, "fresh")
    fresh = new_bench(tmp_path, engine=engine, name="fresh")
    rebuilt = ingest(replace(fresh, parser=bench.parser, embedder=bench.embedder), str(docs))
    assert rebuilt.manifest_hash == second.manifest_hash
    engine.dispose()
