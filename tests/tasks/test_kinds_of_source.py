"""Promises 1 and 2 for every kind of source: the same files make the same snapshot, and what moves is not embedded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from document_fakes import ingest, new_bench, new_catalog
from source_places import FolderPlace, GitPlace, S3Place, S3Server, SourcePlace, s3_server

from tasks.core.document_catalog import RegisteredSource
from tasks.core.errors import TooManyDeletions
from tasks.core.ingestion import IngestReport
from tasks.core.ports import Source
from tasks.documents import DocumentsBench

PAGES = {
    f"guide/page-{page}.md": f"# Page {page}\n\nThe H{page} pump runs at {page} bar.\n\nIts seal lasts {page} years."
    for page in range(10)
}


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture(params=["folder", "git", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> SourcePlace:
    if request.param == "folder":
        return FolderPlace(tmp_path / "docs")
    if request.param == "git":
        return GitPlace(tmp_path / "docs", tmp_path / "cache")
    return S3Place(request.getfixturevalue("s3").emptied())


@pytest.fixture
def bench(place: SourcePlace, tmp_path: Path) -> Iterator[DocumentsBench]:
    for name, text in PAGES.items():
        place.write(name, text.encode())

    def open_source(registered: RegisteredSource) -> Source:
        return place.open(include=registered.include, exclude=registered.exclude)

    engine = new_catalog(tmp_path)
    yield replace(new_bench(tmp_path, engine=engine), open_source=open_source)
    engine.dispose()


def counts(report: IngestReport) -> tuple[int, int, int, int]:
    documents = report.documents
    return documents["added"], documents["changed"], documents["deleted"], report.embeds


def test_the_same_files_make_the_same_snapshot_wherever_they_lie(bench: DocumentsBench, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    for name, text in PAGES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    engine = new_catalog(tmp_path, "copy-catalog")
    copied = ingest(new_bench(tmp_path, engine=engine, name="copy-catalog"), str(folder))
    engine.dispose()
    assert ingest(bench, "anywhere").manifest_hash == copied.manifest_hash


def test_nothing_changed_and_written_again_embed_nothing_and_make_no_snapshot(
    bench: DocumentsBench, place: SourcePlace
) -> None:
    assert counts(ingest(bench, "anywhere")) == (10, 0, 0, 10)
    for _ in range(2):
        again = ingest(bench, "anywhere")
        assert (again.is_new, counts(again)) == (False, (0, 0, 0, 0))
        for name, text in PAGES.items():
            place.write(name, text.encode())


def test_rename_copy_and_revert_embed_nothing(bench: DocumentsBench, place: SourcePlace) -> None:
    first = ingest(bench, "anywhere")
    name, text = next(iter(PAGES.items()))
    place.remove(name)
    place.write("guide/renamed.md", text.encode())
    assert counts(ingest(bench, "anywhere")) == (1, 0, 1, 0)
    place.write("guide/copy.md", text.encode())
    assert counts(ingest(bench, "anywhere")) == (1, 0, 0, 0)
    place.remove("guide/renamed.md")
    place.remove("guide/copy.md")
    place.write(name, text.encode())
    reverted = ingest(bench, "anywhere")
    assert counts(reverted) == (1, 0, 2, 0)
    assert reverted.manifest_hash == first.manifest_hash


def test_one_edited_paragraph_embeds_one_chunk(bench: DocumentsBench, place: SourcePlace) -> None:
    ingest(bench, "anywhere")
    name, text = next(iter(PAGES.items()))
    place.write(name, text.replace("0 bar", "11 bar").encode())
    assert counts(ingest(bench, "anywhere")) == (0, 1, 0, 1)


def test_a_source_that_is_suddenly_empty_empties_nothing(bench: DocumentsBench, place: SourcePlace) -> None:
    ingest(bench, "anywhere")
    for name in PAGES:
        place.remove(name)
    place.write("photo.jpg", b"")
    with pytest.raises(TooManyDeletions, match="10 of 10"):
        ingest(replace(bench, max_delete_fraction=0.2), "anywhere")
    snapshot = bench.catalog.published("default")
    assert snapshot is not None
    assert snapshot.documents == 10


def test_switching_a_branch_there_and_back_embeds_only_what_it_adds(tmp_path: Path) -> None:
    place = GitPlace(tmp_path / "docs", tmp_path / "cache")
    place.write_all({name: text.encode() for name, text in PAGES.items()})
    place.git("switch", "--create", "next")
    place.write("guide/new.md", b"# New\n\nOnly the next version has this page.")
    here = {"ref": "main"}
    engine = new_catalog(tmp_path)
    bench = replace(new_bench(tmp_path, engine=engine), open_source=lambda _: place.source(f"@{here['ref']}"))
    assert counts(ingest(bench, "git", "docs")) == (10, 0, 0, 10)
    here["ref"] = "next"
    assert counts(ingest(bench, "git", "docs")) == (1, 0, 0, 1)
    here["ref"] = "main"
    assert counts(ingest(bench, "git", "docs")) == (0, 0, 1, 0)
    here["ref"] = "next"
    assert counts(ingest(bench, "git", "docs")) == (1, 0, 0, 0)
    engine.dispose()
