"""Re-ingestion, step by step, over the real catalog and index: promises 1, 2, 7, 8 and 9."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from document_fakes import LineParser, MemorySource, WordEmbedder, foresee, ingest, new_bench, new_catalog, rebuilt
from sqlalchemy import Engine, text

from tasks.core.errors import TooManyDeletions, UsageError
from tasks.documents import DocumentsBench, plan, published_snapshot
from tasks.sources import resolve_sources, scan

PUMPS = "# Pumps\n\n## H300\n\nThe H300 runs at 42 bar.\n\n## H400\n\nThe H400 runs at 50 bar."
SEALS = "# Seals\n\nA seal lasts two years."


@pytest.fixture
def source() -> MemorySource:
    made = MemorySource({})
    made.write("pumps.md", PUMPS)
    made.write("seals.md", SEALS)
    return made


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = new_catalog(tmp_path)
    yield made
    made.dispose()


@pytest.fixture
def bench(tmp_path: Path, source: MemorySource, engine: Engine) -> DocumentsBench:
    return new_bench(tmp_path, source, engine=engine)


def embedded(bench: DocumentsBench) -> list[str]:
    assert isinstance(bench.embedder, WordEmbedder)
    return bench.embedder.embedded


def stored(engine: Engine, tmp_path: Path) -> bytes:
    """Everything the catalog holds except the lease, as bytes, and how much was ever written to the index."""
    with engine.connect() as connection:
        names = ("documents", "chunks", "vectors", "parses", "snapshots", "quarantine", "sources", "file_hints")
        return repr([connection.execute(text(f"SELECT * FROM {name}")).all() for name in names]).encode()


# ── what a run reports ───────────────────────────────────────────────────────────────────────────────────────────────


def test_the_first_run_publishes_snapshot_one(bench: DocumentsBench) -> None:
    report = ingest(bench).as_json()
    assert report["snapshot"] == 1
    assert report["documents"] == {"added": 2, "changed": 0, "deleted": 0, "unchanged": 0, "quarantined": 0}
    assert report["chunks"] == {"born": 3, "died": 0, "live": 3}
    assert report["embeds"] == 3
    assert published_snapshot(bench).manifest_hash == report["manifest_hash"]


def test_an_edit_embeds_the_edited_section_only(bench: DocumentsBench, source: MemorySource) -> None:
    ingest(bench)
    source.write("pumps.md", PUMPS.replace("42 bar", "45 bar"))
    report = ingest(bench)
    assert report.documents == {"added": 0, "changed": 1, "deleted": 0, "unchanged": 1, "quarantined": 0}
    assert report.chunks == {"born": 1, "died": 1, "live": 3}
    assert embedded(bench)[3:] == ["Pumps > H300\nThe H300 runs at 45 bar."]


def test_the_plan_is_what_the_run_does(bench: DocumentsBench, source: MemorySource) -> None:
    for _ in range(2):
        predicted = foresee(bench).as_json()
        done = ingest(bench).as_json()
        assert {**predicted, "seconds": 0, "plan": False} == {**done, "seconds": 0}
        source.write("pumps.md", PUMPS + "\n\n## H500\n\nNew.")
        source.write("copy.md", SEALS)
        source.contents.pop("seals.md", None)


# ── nothing unneeded ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_second_run_writes_nothing(bench: DocumentsBench, engine: Engine, tmp_path: Path) -> None:
    first = ingest(bench)
    before, index = stored(engine, tmp_path), (tmp_path / "catalog-index.sqlite").read_bytes()
    second = ingest(bench)
    assert stored(engine, tmp_path) == before
    assert (tmp_path / "catalog-index.sqlite").read_bytes() == index
    assert (second.snapshot, second.manifest_hash, second.embeds) == (1, first.manifest_hash, 0)
    assert second.chunks == {"born": 0, "died": 0, "live": 3}


def test_touched_files_write_nothing(
    bench: DocumentsBench, source: MemorySource, engine: Engine, tmp_path: Path
) -> None:
    ingest(bench)
    before = stored(engine, tmp_path)
    source.touches += 1
    assert ingest(bench).embeds == 0
    assert stored(engine, tmp_path) == before


def test_a_trusted_hint_saves_the_reading(bench: DocumentsBench, source: MemorySource) -> None:
    ingest(bench)
    source.read = lambda uri: pytest.fail(f"{uri} was read")  # type: ignore[method-assign]
    assert ingest(bench).documents["unchanged"] == 2


def test_rename_copy_and_revert_embed_nothing(bench: DocumentsBench, source: MemorySource) -> None:
    ingest(bench)
    source.contents["renamed.md"] = source.contents.pop("seals.md")
    source.contents["copy.md"] = source.contents["pumps.md"]
    moved = ingest(bench)
    assert (moved.embeds, moved.documents["added"], moved.documents["deleted"]) == (0, 2, 1)
    source.write("pumps.md", "# Pumps\n\nRewritten.")
    assert ingest(bench).embeds == 1
    source.write("pumps.md", PUMPS)
    assert ingest(bench).embeds == 0


def test_a_reverted_corpus_has_the_manifest_hash_it_had(bench: DocumentsBench, source: MemorySource) -> None:
    first = ingest(bench)
    source.write("seals.md", "# Seals\n\nA seal lasts three years.")
    assert ingest(bench).manifest_hash != first.manifest_hash
    source.write("seals.md", SEALS)
    assert (ingest(bench).manifest_hash, published_snapshot(bench).number) == (first.manifest_hash, 3)


def test_two_assistants_share_their_vectors(bench: DocumentsBench) -> None:
    ingest(bench)
    assert ingest(replace(bench, assistant="other")).embeds == 0


# ── a change of the pipeline ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_new_embedder_moves_everything_to_its_own_collection(
    bench: DocumentsBench, source: MemorySource, tmp_path: Path
) -> None:
    ingest(bench)
    old = published_snapshot(bench)
    changed = replace(bench, embedder=WordEmbedder("words-2"))
    report = ingest(changed)
    assert (report.embeds, report.chunks) == (3, {"born": 3, "died": 3, "live": 3})
    assert published_snapshot(changed).collection != old.collection
    assert bench.index.chunk_ids(old.collection, old.number) == bench.index.chunk_ids(
        published_snapshot(changed).collection, report.snapshot
    )
    assert report.manifest_hash == rebuilt(changed, tmp_path, source).manifest_hash
    assert ingest(bench).embeds == 0


def test_a_new_parser_reads_every_source_again(bench: DocumentsBench) -> None:
    ingest(bench)
    changed = replace(bench, parser=LineParser("lines-2"))
    report = ingest(changed)
    assert isinstance(changed.parser, LineParser)
    assert changed.parser.parsed == ["pumps.md", "seals.md"]
    assert (report.snapshot, report.embeds, report.chunks["born"]) == (2, 0, 0)


# ── bad documents ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_bad_document_costs_itself_only(bench: DocumentsBench, source: MemorySource) -> None:
    source.write("bad.md", "POISON")
    report = ingest(bench)
    assert report.documents == {"added": 2, "changed": 0, "deleted": 0, "unchanged": 0, "quarantined": 1}
    assert report.as_json()["quarantine"] == [{"document": "bad.md", "reason": "it says POISON"}]
    assert report.chunks["live"] == 3


def test_a_quarantined_document_is_not_tried_again_until_something_changes(
    bench: DocumentsBench, source: MemorySource, engine: Engine, tmp_path: Path
) -> None:
    assert isinstance(bench.parser, LineParser)
    source.write("bad.md", "POISON")
    ingest(bench)
    before = stored(engine, tmp_path)
    assert ingest(bench).documents["quarantined"] == 1
    assert bench.parser.parsed.count("bad.md") == 1
    assert stored(engine, tmp_path) == before
    patient = LineParser(limits="more time")
    ingest(replace(bench, parser=patient))
    assert patient.parsed == ["bad.md"]
    source.write("bad.md", "# Good now")
    assert ingest(bench).documents["quarantined"] == 0


def test_a_document_that_turns_bad_keeps_its_last_good_text(bench: DocumentsBench, source: MemorySource) -> None:
    first = ingest(bench)
    source.write("seals.md", "POISON")
    for _ in range(2):
        report = ingest(bench)
        assert report.documents == {"added": 0, "changed": 0, "deleted": 0, "unchanged": 2, "quarantined": 1}
        assert (report.snapshot, report.manifest_hash) == (1, first.manifest_hash)
    source.write("seals.md", SEALS)
    assert ingest(bench).documents["quarantined"] == 0


def test_a_deleted_bad_document_is_a_debt_no_more(bench: DocumentsBench, source: MemorySource) -> None:
    source.write("bad.md", "POISON")
    ingest(bench)
    del source.contents["bad.md"]
    assert ingest(bench).documents["quarantined"] == 0


def test_a_huge_document_is_refused_unread(bench: DocumentsBench, source: MemorySource) -> None:
    bench = replace(bench, parser=LineParser(largest=1000))
    source.write("huge.md", "x" * 1001)
    report = ingest(bench)
    assert report.quarantine[0].reason == "it has 1001 bytes; the limit is 1000"
    assert "huge.md" not in bench.parser.parsed


def test_other_kinds_of_files_are_counted_and_left_alone(bench: DocumentsBench, source: MemorySource) -> None:
    source.write("photo.jpg", "...")
    assert ingest(bench).as_json()["skipped"] == 1


def test_nothing_readable_is_refused_by_name(bench: DocumentsBench, source: MemorySource) -> None:
    source.contents = {"bad.md": b"POISON", "photo.jpg": b""}
    with pytest.raises(UsageError, match=r"no readable documents in memory:docs(.|\n)*bad.md: it says POISON"):
        ingest(bench)
    assert bench.catalog.sources("default") == ()


def test_an_empty_document_is_a_document_without_chunks(bench: DocumentsBench, source: MemorySource) -> None:
    source.write("empty.md", "")
    assert (ingest(bench).documents["added"], published_snapshot(bench).chunks) == (3, 3)


# ── vanishing documents ──────────────────────────────────────────────────────────────────────────────────────────────


def test_an_unmounted_source_cannot_empty_the_index(bench: DocumentsBench, source: MemorySource) -> None:
    ingest(bench)
    source.contents.clear()
    with pytest.raises(TooManyDeletions, match="delete 2 of 2"):
        ingest(replace(bench, max_delete_fraction=0.2))
    assert published_snapshot(bench).documents == 2


def test_a_moved_folder_is_no_deletion(bench: DocumentsBench, source: MemorySource) -> None:
    ingest(bench)
    source.contents = {f"moved/{uri}": data for uri, data in source.contents.items()}
    assert ingest(replace(bench, max_delete_fraction=0.0)).documents["deleted"] == 2


def test_the_limit_can_be_raised_for_one_run(bench: DocumentsBench, source: MemorySource) -> None:
    ingest(bench)
    del source.contents["seals.md"]
    strict = replace(bench, max_delete_fraction=0.2)
    found = scan(strict, resolve_sources(strict))
    with pytest.raises(TooManyDeletions):
        plan(strict, found)
    assert plan(strict, found, max_delete_fraction=0.5).changes.deleted == ("seals.md",)


# ── several sources ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def folders(tmp_path: Path, engine: Engine) -> tuple[DocumentsBench, Path, Path]:
    for name in ("handbook", "My FAQ"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pumps.md").write_text(PUMPS.replace("Pumps", name))
    return new_bench(tmp_path, engine=engine), tmp_path / "handbook", tmp_path / "My FAQ"


def test_documents_of_a_second_source_carry_its_name(folders: tuple[DocumentsBench, Path, Path]) -> None:
    bench, handbook, faq = folders
    ingest(bench, str(handbook))
    ingest(bench, str(faq))
    assert [s.name for s in bench.catalog.sources("default")] == ["docs", "my-faq"]
    assert [d.uri for d in bench.catalog.documents("default", 2)] == ["my-faq:pumps.md", "pumps.md"]


def test_reingesting_one_source_leaves_the_others_alone(folders: tuple[DocumentsBench, Path, Path]) -> None:
    bench, handbook, faq = folders
    ingest(bench, str(handbook))
    ingest(bench, str(faq))
    (faq / "pumps.md").write_text("# FAQ\n\nShort.")
    (handbook / "pumps.md").write_text("# Not looked at")
    assert ingest(bench, str(faq)).documents["changed"] == 1
    everything = ingest(bench, None)
    assert everything.documents == {"added": 0, "changed": 1, "deleted": 0, "unchanged": 1, "quarantined": 0}


def test_a_source_moves_by_name(folders: tuple[DocumentsBench, Path, Path], tmp_path: Path) -> None:
    bench, handbook, _ = folders
    first = ingest(bench, str(handbook))
    handbook.rename(tmp_path / "elsewhere")
    report = ingest(bench, str(tmp_path / "elsewhere"), name="docs")
    assert (report.manifest_hash, report.embeds) == (first.manifest_hash, 0)
    assert [s.uri for s in bench.catalog.sources("default")] == [str(tmp_path / "elsewhere")]


def test_no_source_and_no_path_says_what_to_type(bench: DocumentsBench) -> None:
    with pytest.raises(UsageError, match="ratchet ingest PATH"):
        ingest(bench, None)
