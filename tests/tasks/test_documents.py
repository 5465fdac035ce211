"""Re-ingestion, step by step, over the real catalog and index: promises 1, 2, 7, 8 and 9."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from document_fakes import LineParser, MemorySource, WordEmbedder, foresee, ingest, new_bench, new_catalog, rebuilt
from sqlalchemy import Engine, text

from infra.adapters.folder_source import FolderSource
from tasks.core.chunking import ChunkSettings
from tasks.core.errors import Stopped, TooManyDeletions, UsageError
from tasks.core.ports import Parsed, Unparsable
from tasks.core.retrieval import words
from tasks.documents import DocumentsBench, holding_lease, plan, published_snapshot, read, stopping
from tasks.snapshots import build, embed, publish
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


def test_the_plan_is_what_the_run_does_to_the_token_and_the_cent(bench: DocumentsBench, source: MemorySource) -> None:
    bench = replace(bench, embedder=WordEmbedder(usd_per_million_tokens=1000.0))
    for _ in range(2):
        predicted = foresee(bench).as_json()
        done = ingest(bench).as_json()
        assert predicted["tokens"] == sum(len(words(one)) for one in embedded(bench)[-int(str(done["embeds"])) :])
        assert predicted["cost_usd"] == int(str(predicted["tokens"])) / 1000 > 0
        assert {**predicted, "seconds": 0, "plan": False} == {**done, "seconds": 0}
        source.write("pumps.md", PUMPS + "\n\n## H500\n\nNew.")
        source.write("copy.md", SEALS)
        source.contents.pop("seals.md", None)


def index_files(folder: Path) -> list[bytes]:
    return [(folder / f"catalog-index.sqlite{end}").read_bytes() for end in ("", "-wal")]


# ── nothing unneeded ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_second_run_writes_nothing(bench: DocumentsBench, engine: Engine, tmp_path: Path) -> None:
    first = ingest(bench)
    before, index = stored(engine, tmp_path), index_files(tmp_path)
    second = ingest(bench)
    assert stored(engine, tmp_path) == before
    assert index_files(tmp_path) == index
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


# ── what may pass is tried again ─────────────────────────────────────────────────────────────────────────────────────


class HastyParser(LineParser):
    """Runs out of time on every document that says SLOW, until it gets better."""

    better = False

    def parse(self, files: Iterable[tuple[str, bytes]]) -> Iterator[Parsed | Unparsable]:
        for uri, data in files:
            self.parsed.append(uri)
            if b"SLOW" in data and not self.better:
                yield Unparsable(uri, "it took longer than 60 s", transient=True)
            else:
                yield from LineParser().parse([(uri, data)])


def test_what_ran_out_of_time_is_tried_again_later_and_then_less_and_less_often(
    bench: DocumentsBench, source: MemorySource, engine: Engine
) -> None:
    parser = HastyParser()
    bench = replace(bench, parser=parser)
    source.write("slow.md", "# SLOW\n\nIt takes its time.")
    ingest(bench)
    (first,) = bench.catalog.quarantined("default")
    assert (first.tries, parser.parsed.count("slow.md")) == (1, 1)
    ingest(bench)
    assert parser.parsed.count("slow.md") == 1  # not yet

    since = quarantined_since(engine)
    let_time_pass(engine)
    ingest(bench)
    assert quarantined_since(engine) == since  # how long it has been missing
    (second,) = bench.catalog.quarantined("default")
    assert (second.tries, parser.parsed.count("slow.md")) == (2, 2)
    assert first.retry_at is not None
    assert second.retry_at is not None
    assert second.retry_at - first.retry_at == pytest.approx(600, abs=60)  # waits 1,200 s where it waited 600 s

    parser.better = True
    let_time_pass(engine)
    assert ingest(bench).documents["added"] == 1
    assert bench.catalog.quarantined("default") == ()


def test_what_is_broken_for_good_is_tried_again_only_on_demand(bench: DocumentsBench, source: MemorySource) -> None:
    source.write("bad.md", "POISON")
    ingest(bench)
    parser = bench.parser
    assert isinstance(parser, LineParser)
    with_retry = plan(bench, scan(bench, resolve_sources(bench)), retry_quarantined=True)
    without = plan(bench, scan(bench, resolve_sources(bench)))
    assert [file.path for file in with_retry.to_read] == ["bad.md"]
    assert without.to_read == ()


def quarantined_since(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT since FROM quarantine")).scalars())


def let_time_pass(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE quarantine SET retry_at = 0"))


# ── globs ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_globs_are_remembered_with_the_source_and_narrowing_them_removes_documents(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    (docs / "drafts").mkdir(parents=True)
    for name in ("a.md", "b.md", "drafts/c.md"):
        (docs / name).write_text(f"# {name}\n\nAbout {name}.")
    engine = new_catalog(tmp_path)
    bench = new_bench(tmp_path, engine=engine)
    bench = replace(bench, open_source=lambda s: FolderSource(s.uri, include=s.include, exclude=s.exclude))
    ingest(bench, str(docs))
    where = resolve_sources(bench, str(docs), exclude=["drafts/"])
    with holding_lease(bench) as lease:
        embedded = embed(bench, read(bench, plan(bench, scan(bench, where)), lease), lease)
        publish(bench, build(bench, embedded, lease), lease)
    assert [d.uri for d in bench.catalog.documents("default", 2)] == ["a.md", "b.md"]
    assert resolve_sources(bench)[0].exclude == ("drafts/",)
    assert ingest(bench, None).is_new is False
    engine.dispose()


def test_after_a_change_of_the_pipeline_every_source_is_read_again(tmp_path: Path) -> None:
    engine = new_catalog(tmp_path)
    bench = new_bench(tmp_path, engine=engine)
    for name in ("docs", "faq"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.md").write_text(f"# {name}\n\nAbout {name}.")
        ingest(bench, str(tmp_path / name), name)
    bench = replace(bench, parser=LineParser("lines-2"))
    where = resolve_sources(bench, str(tmp_path / "faq"))
    assert sorted(source.name for source in where) == ["docs", "faq"]
    assert [file.document for file in plan(bench, scan(bench, where)).to_read] == ["faq:a.md", "a.md"]
    engine.dispose()


# ── what a person meets ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_page_that_was_unreadable_when_the_pipeline_changed_is_cut_anew_when_it_is_back(
    bench: DocumentsBench, source: MemorySource, tmp_path: Path
) -> None:
    source.write("long.md", "\n\n".join(f"Paragraph {n} of a long page without headings." for n in range(60)))
    good = source.contents["long.md"]
    ingest(bench)
    bench = replace(bench, chunking=ChunkSettings(minimum=100, target=200, maximum=300))
    source.write("long.md", "POISON")
    ingest(bench)
    source.contents["long.md"] = good
    report = ingest(bench)
    assert report.documents["quarantined"] == 0
    assert report.manifest_hash == rebuilt(bench, tmp_path, source).manifest_hash


def test_a_small_source_cannot_vanish_behind_a_large_one(tmp_path: Path) -> None:
    engine = new_catalog(tmp_path)
    bench = new_bench(tmp_path, engine=engine)
    for name, pages in (("docs", 30), ("faq", 3)):
        (tmp_path / name).mkdir()
        for page in range(pages):
            (tmp_path / name / f"{page}.md").write_text(f"# {name} {page}\n\nAbout {page}.")
        ingest(bench, str(tmp_path / name), name)
    for file in (tmp_path / "faq").iterdir():
        file.unlink()
    with pytest.raises(TooManyDeletions, match="3 of 3"):
        ingest(replace(bench, max_delete_fraction=0.2), None)
    engine.dispose()


def test_files_that_were_all_cut_to_nothing_are_not_believed(bench: DocumentsBench, source: MemorySource) -> None:
    ingest(bench)
    source.contents = dict.fromkeys(source.contents, b"")
    with pytest.raises(TooManyDeletions, match="2 of 2"):
        ingest(replace(bench, max_delete_fraction=0.2))


def test_two_sources_cannot_own_one_document_even_when_they_are_ingested_one_by_one(tmp_path: Path) -> None:
    engine = new_catalog(tmp_path)
    bench = new_bench(tmp_path, engine=engine)
    for name, file in (("docs", "faq:a.md"), ("faq", "a.md")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text(f"# {name}\n\nAbout {name}.")
    ingest(bench, str(tmp_path / "docs"), "docs")
    with pytest.raises(UsageError, match=r"both be the document faq:a\.md"):
        ingest(bench, str(tmp_path / "faq"), "faq")
    engine.dispose()


def test_a_place_that_is_registered_is_not_registered_again_under_another_name(tmp_path: Path) -> None:
    engine = new_catalog(tmp_path)
    bench = new_bench(tmp_path, engine=engine)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# A\n\nText.")
    ingest(bench, str(tmp_path / "docs"))
    with pytest.raises(UsageError, match="registered already, as docs"):
        resolve_sources(bench, str(tmp_path / "docs"), "other")
    engine.dispose()


def test_a_run_that_is_told_to_stop_ends_at_its_next_document(bench: DocumentsBench) -> None:
    stop = threading.Event()
    stop.set()
    token = stopping.set(stop)
    try:
        with pytest.raises(Stopped, match="run again"):
            ingest(bench)
    finally:
        stopping.reset(token)
    assert bench.catalog.published("default") is None
    assert ingest(bench).snapshot == 1
