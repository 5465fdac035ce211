"""Vacuum over the real catalog and the real embedded index: what goes, what stays, and who notices."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from chat_fakes import OneModel
from document_fakes import MemorySource, WordEmbedder, find, ingest, new_bench, new_catalog
from sqlalchemy import insert, select
from vacuum_fakes import HOUR, World, foresee_vacuum, new_world, page, vacuum, world_of

from infra.adapters.catalog import tables as t
from infra.adapters.catalog.completions import CatalogCompletions
from infra.adapters.catalog.leases import CatalogLeases
from infra.adapters.catalog.training import CatalogTrainings
from infra.adapters.folder_artifacts import FolderArtifacts
from infra.service.catalog_desk import CatalogDesk
from tasks.answering import AnsweringBench
from tasks.core.documents import Hit
from tasks.core.errors import AssistantBusy, LeaseLost, NotFound
from tasks.core.policy import Policy
from tasks.documents import holding_lease, plan, read
from tasks.releases import ReleaseBench, ReleaseRow, check_snapshot, roll_back, states
from tasks.snapshots import build, embed
from tasks.sources import resolve_sources, scan
from tasks.training import Lineage
from tasks.vacuum import reclaim_catalog, retained

STEP = int(os.environ.get("RATCHET_TEST_KILL_STEP", "7"))  # 1 stops at every single call
QUESTION = "Valve 0-1 opens at which bar?"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return new_world(tmp_path, keep_releases=1)


def pages(version: int, *, of: int = 5) -> dict[str, str]:
    """All pages at version 1; after that one of them changes at a time."""
    numbers = range(of) if version == 1 else [version % of]
    return {f"page-{n}.md": page(n, version) for n in numbers}


def grow(world: World, versions: int) -> list[ReleaseRow]:
    """A release per snapshot, each promoted."""
    return [world.serve(pages(version)) for version in range(1, versions + 1)]


def release_bench(world: World) -> ReleaseBench:
    def nothing() -> Any:
        raise AssertionError("a rollback opens no model and asks no process")

    class Nothing:
        def judgement(self, assistant: str, release: str) -> None:
            return None

    docs, artifacts = world.docs, FolderArtifacts(world.folder / "artifacts")
    return ReleaseBench(
        "default", world.releases, Nothing(), docs.catalog, docs.index, nothing, Policy(), artifacts, nothing
    )


def index_rows(world: World) -> list[tuple[Any, ...]]:
    with sqlite3.connect(world.folder / "catalog-index.sqlite") as db:
        rows = db.execute("SELECT collection, id, born, died FROM chunks ORDER BY 1, 2, 3").fetchall()
    db.close()
    return rows


def stored(world: World) -> dict[str, object]:
    """Everything vacuum can delete."""
    s = t.snapshots.c
    queries = {
        "snapshots": select(s.number, s.state).order_by(s.number),
        "chunks": select(t.chunks.c.id, t.chunks.c.born, t.chunks.c.died).order_by(t.chunks.c.id, t.chunks.c.born),
        "documents": select(t.documents.c.uri, t.documents.c.born).order_by(t.documents.c.uri, t.documents.c.born),
        "vectors": select(t.vectors.c.key).order_by(t.vectors.c.key),
    }
    with world.engine.connect() as connection:
        kept: dict[str, object] = {name: connection.execute(query).all() for name, query in queries.items()}
    folders = sorted(path.name for root in ("artifacts", "trainings") for path in (world.folder / root).glob("*"))
    return kept | {"index": index_rows(world), "folders": folders}


def age(folder: Path, hours: float) -> None:
    for path in (*folder.rglob("*"), folder):
        at = path.stat().st_mtime - hours * HOUR
        os.utime(path, (at, at))


def comparable(report: Any) -> dict[str, object]:
    own = ("plan", "probes", "index_chunks")
    return {name: value for name, value in report.as_json().items() if name not in own}


# ── what goes and what stays ─────────────────────────────────────────────────────────────────────────────────────────


def test_what_no_retained_release_reads_goes_from_the_catalog_and_the_index(world: World) -> None:
    grow(world, 4)
    dead_to_kept = sum(died is not None and died <= 3 for _, _, _, died in index_rows(world))
    report = vacuum(world)
    assert (report.retention.keep, report.retention.reclaim) == ((3, 4), (1, 2))
    assert report.lives.chunks == report.index_chunks == dead_to_kept > 0
    assert [snapshot.number for snapshot in world.docs.catalog.snapshots("default")] == [3, 4]
    assert all(died is None or died == 4 for _, _, _, died in index_rows(world))
    assert set(world.docs.catalog.reclaimed("default")) == {1, 2}


def test_what_lived_only_between_two_kept_snapshots_goes_too(world: World) -> None:
    world.serve({"page-0.md": page(0, 1), "page-1.md": page(1, 1)})
    world.publish({"page-0.md": page(0, 2)})
    world.publish({"page-0.md": page(0, 3)})
    report = vacuum(world)
    assert (report.retention.keep, report.lives.chunks, report.index_chunks) == ((1, 3), 4, 4)
    assert {born for _, _, born, _ in index_rows(world)} == {1, 3}


def test_a_plan_says_exactly_what_a_run_then_does_and_writes_nothing(world: World) -> None:
    grow(world, 4)
    half_made = world.folder / "artifacts" / ".putting-abc"
    half_made.mkdir(parents=True)
    (half_made / "weights.json").write_text("x" * 100)
    age(half_made, 25)
    before = stored(world)
    planned = foresee_vacuum(world, drop_vectors=True)
    assert stored(world) == before
    done = vacuum(world, drop_vectors=True)
    assert comparable(planned) == comparable(done)
    assert planned.lives.chunks > 0
    assert planned.vectors is not None
    assert planned.vectors.count > 0
    assert planned.bytes_freed == 100 + planned.vectors.size_bytes
    assert planned.vectors.size_bytes == planned.vectors.count * 32 * 4


def test_running_twice_changes_nothing_the_second_time(world: World) -> None:
    grow(world, 4)
    vacuum(world, drop_vectors=True)
    before = stored(world)
    again = vacuum(world, drop_vectors=True)
    assert stored(world) == before
    assert (again.lives.documents, again.lives.chunks, again.index_chunks) == (0, 0, 0)
    assert (again.retention.reclaim, again.collections, again.leftovers, again.bytes_freed) == ((), (), (), 0)


def test_the_next_ingest_after_a_vacuum_embeds_only_what_changed(world: World) -> None:
    grow(world, 3)
    vacuum(world)
    assert isinstance(world.docs.embedder, WordEmbedder)
    world.docs.embedder.embedded.clear()
    assert world.publish(pages(9)) == 4
    passages = [text for text in world.docs.embedder.embedded if text != QUESTION]
    assert len(passages) == 4  # one page of four sections


def test_a_document_that_returns_to_what_it_was_is_not_embedded_again(world: World) -> None:
    grow(world, 3)
    first = {"page-2.md": page(2, 1)}  # as in snapshot 1, which goes
    assert vacuum(world).retention.reclaim == (1,)
    world.source.write("page-2.md", first["page-2.md"])
    assert ingest(world.docs).embeds == 0


def test_dropping_unused_vectors_makes_it_be_embedded_again_and_keeps_all_others(world: World) -> None:
    grow(world, 3)
    vacuum(world, drop_vectors=True)
    assert world.docs.cache.missing_vectors(sorted(world.docs.catalog.chunk_keys("default", 3).values())) == set()
    world.source.write("page-2.md", page(2, 1))
    assert ingest(world.docs).embeds == 4


def test_the_snapshot_of_a_running_training_stays_until_it_is_done(world: World) -> None:
    world.publish(pages(1))
    CatalogTrainings(world.engine).start("default", "t-1", ["l-1"])
    world.publish(pages(2))
    world.publish(pages(3))
    assert retained(world.bench).keep == (1, 3)
    CatalogTrainings(world.engine).fail("default", "t-1", "it broke")
    assert retained(world.bench).keep == (3,)


def test_a_vacuum_before_the_first_snapshot_does_nothing(world: World) -> None:
    report = vacuum(world)
    assert (report.retention.fates, report.lives.chunks, report.collections) == ((), 0, ())


# ── collections ──────────────────────────────────────────────────────────────────────────────────────────────────────


def with_embedder(world: World, name: str) -> World:
    docs = replace(world.docs, embedder=WordEmbedder(name))
    keep = world.bench.keep_releases
    return world_of(world.folder, world.engine, world.source, docs, keep_releases=keep)


def test_a_collection_that_no_kept_snapshot_is_in_is_dropped(world: World) -> None:
    old = grow(world, 2)[-1].manifest.snapshot.collection
    world = with_embedder(world, "words-2")
    for version in (3, 4):
        world.serve(pages(version))
    planned = foresee_vacuum(world)
    report = vacuum(world)
    assert planned.collections == report.collections == (old,)
    assert world.docs.index.stamp(old) is None
    assert {row[0] for row in index_rows(world)} == {world.docs.catalog.snapshots("default")[0].collection}


def test_an_old_collection_keeps_only_what_its_kept_snapshots_read(world: World) -> None:
    first = world.serve(pages(1))
    world.publish(pages(2))
    old = first.manifest.snapshot.collection
    before = find(world.docs, 1, QUESTION)
    world = with_embedder(world, "words-2")
    world.serve(pages(3))
    report = vacuum(world)
    assert (report.retention.keep, report.retention.reclaim, report.collections) == ((1, 3), (2,), ())
    assert {row[1] for row in index_rows(world) if row[0] == old} == set(world.docs.catalog.chunk_keys("default", 1))
    assert find(world.docs, 1, QUESTION, embedder=WordEmbedder()) == before
    assert dict(report.probes.unasked) == {  # type: ignore[union-attr]
        first.id: "Its documents were embedded by another embedder than the one that is configured."
    }


def test_an_index_that_lost_chunks_is_refilled_and_not_reclaimed_from(world: World) -> None:
    grow(world, 4)
    collection = world.docs.catalog.snapshots("default")[-1].collection
    whole = {number: find(world.docs, number, QUESTION) for number in (3, 4)}
    with holding_lease(world.docs) as lease:
        world.docs.index.undo(collection, 1, lease.token)
    assert vacuum(world).index_chunks == 0
    assert {number: find(world.docs, number, QUESTION) for number in (3, 4)} == whole


def test_what_an_ingest_left_unfinished_is_undone_first(world: World) -> None:
    grow(world, 2)
    world.source.write("page-0.md", page(0, 77))
    with holding_lease(world.docs) as lease:
        todo = plan(world.docs, scan(world.docs, resolve_sources(world.docs)))
        build(world.docs, embed(world.docs, read(world.docs, todo, lease), lease), lease)
    assert any(born == 3 for _, _, born, _ in index_rows(world))
    vacuum(world)
    assert not any(3 in (born, died) for _, _, born, died in index_rows(world))
    assert ingest(world.docs).snapshot == 3


# ── releases ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_rolling_back_to_a_kept_release_works_and_it_answers_as_before(world: World) -> None:
    rows = grow(world, 4)
    before = world.find(rows[2], QUESTION)
    vacuum(world)
    made = roll_back(release_bench(world), to=None, who="ann", reason="test")
    assert made.release == rows[2].id
    assert world.find(rows[2], QUESTION) == before


def test_a_release_whose_snapshot_was_reclaimed_is_refused_by_name(world: World) -> None:
    rows = grow(world, 4)
    vacuum(world)
    bench = release_bench(world)
    when = world.docs.catalog.reclaimed("default")[1][:10]
    says = f"its snapshot 1 was reclaimed by vacuum on {when}. Releases kept: {rows[3].id}, {rows[2].id}"
    for attempt in (
        lambda: check_snapshot(bench, rows[0].manifest),
        lambda: roll_back(bench, to=rows[0].id, who="ann", reason="test"),
    ):
        with pytest.raises(NotFound, match=says):
            attempt()
    assert world.releases.standing("default").release == rows[3].id


def test_the_answer_service_refuses_such_a_release_before_it_searches(world: World) -> None:
    rows = grow(world, 3)
    desk = CatalogDesk(
        world.engine, AnsweringBench(world.probing.retrieval, OneModel(), CatalogCompletions(world.engine))
    )
    assert desk.release("default", rows[0].id).manifest == rows[0].manifest
    vacuum(world)
    with pytest.raises(NotFound, match="its snapshot 1 was reclaimed by vacuum"):
        desk.release("default", rows[0].id)
    assert desk.release("default", rows[1].id).manifest == rows[1].manifest


def test_releases_whose_snapshot_was_reclaimed_have_a_word_of_their_own(world: World) -> None:
    rows = grow(world, 3)
    vacuum(world)
    catalog = world.releases
    words = states(
        catalog.releases("default"),
        catalog.standing("default"),
        catalog.history("default"),
        world.docs.catalog.reclaimed("default"),
    )
    assert [words[row.id] for row in rows] == ["reclaimed", "retired", "current"]


def test_a_promotion_that_comes_between_deciding_and_deleting_deletes_nothing(world: World) -> None:
    rows = grow(world, 3)
    decided = retained(world.bench)
    assert world.promote(rows[0].id, "rollback")
    before = stored(world)
    with holding_lease(world.docs) as lease, pytest.raises(AssistantBusy, match="became current while vacuum"):
        reclaim_catalog(world.bench, decided, lease)
    assert stored(world) == before


def test_the_pointer_never_moves_to_a_release_that_was_reclaimed_a_moment_ago(world: World) -> None:
    rows = grow(world, 3)
    vacuum(world)
    assert not world.promote(rows[0].id, "rollback")
    assert world.releases.standing("default").release == rows[2].id


# ── other runs ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_while_an_ingest_runs_a_vacuum_says_so_and_deletes_nothing(world: World) -> None:
    grow(world, 3)
    before = stored(world)
    with holding_lease(world.docs), pytest.raises(AssistantBusy):
        vacuum(world)
    assert stored(world) == before


def test_a_vacuum_that_was_overtaken_deletes_nothing(world: World) -> None:
    grow(world, 3)
    decided = retained(world.bench)
    late = world.docs.leases.acquire("documents/default", -1)
    before = stored(world)
    with holding_lease(world.docs), pytest.raises(LeaseLost):
        reclaim_catalog(world.bench, decided, late)
    assert stored(world) == before


def test_vectors_are_not_dropped_while_another_assistant_ingests(world: World) -> None:
    grow(world, 3)
    world.docs.leases.acquire("documents/other", 60)
    before = stored(world)["vectors"]
    with pytest.raises(AssistantBusy, match="documents/other"):
        vacuum(world, drop_vectors=True)
    assert stored(world)["vectors"] == before


def test_readers_of_retained_releases_never_see_a_mixed_answer(tmp_path: Path) -> None:
    world = new_world(tmp_path, keep_releases=2)
    rows = grow(world, 3)
    expected = {row.id: world.find(row, QUESTION) for row in rows}
    assert len({tuple(hit.chunk.id for hit in hits) for hits in expected.values()}) > 1
    wrong: list[tuple[str, list[Hit]]] = []
    searches: list[int] = []
    over = threading.Event()

    def keep_asking(row: ReleaseRow) -> None:
        done = 0
        while not over.is_set() or done < 350:
            found = world.find(row, QUESTION)
            if found != expected[row.id]:
                wrong.append((row.id, found))
            done += 1
        searches.append(done)

    readers = [threading.Thread(target=keep_asking, args=(row,)) for row in rows]
    for reader in readers:
        reader.start()
    for version in (4, 5, 6):
        world.publish(pages(version))
        vacuum(world, drop_vectors=True)
        assert world.promote(rows[version % 2].id, "rollback")
        assert world.promote(rows[2].id, "rollback")
    over.set()
    for reader in readers:
        reader.join()
    assert sum(searches) >= 1000
    assert wrong == []


# ── kills ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Killed(Exception):
    """From the n-th call on nothing reaches the outside any more."""


@dataclass
class Countdown:
    left: int

    def tick(self) -> None:
        self.left -= 1
        if self.left <= 0:
            raise Killed


@dataclass
class Mortal:
    """A port whose every call is counted before it begins, and once more after it is done."""

    port: Any
    countdown: Countdown

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.port, name)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self.countdown.tick()
            result = found(*args, **kwargs)
            self.countdown.tick()
            return result

        return call


def mortal(world: World, countdown: Countdown) -> World:
    docs = replace(
        world.docs, **{name: Mortal(getattr(world.docs, name), countdown) for name in ("catalog", "index", "leases")}
    )
    ports = ("releases", "retention", "leftovers")
    bench = replace(
        world.bench, documents=docs, **{name: Mortal(getattr(world.bench, name), countdown) for name in ports}
    )
    return replace(world, docs=docs, bench=bench)


def prepared(folder: Path) -> Path:
    """Two embedders, an unfinished ingest, a half-made artifact and unused vectors: everything there is to do."""
    world = new_world(folder, keep_releases=1)
    grow(world, 2)
    world = with_embedder(world, "words-2")
    for version in (3, 4, 5):
        world.serve(pages(version))
    (folder / "artifacts" / ".putting-abc").mkdir(parents=True)
    age(folder / "artifacts" / ".putting-abc", 25)
    world.source.write("page-0.md", page(0, 77))
    with holding_lease(world.docs) as lease:
        todo = plan(world.docs, scan(world.docs, resolve_sources(world.docs)))
        build(world.docs, embed(world.docs, read(world.docs, todo, lease), lease), lease)
    world.engine.dispose()
    return folder


def opened(folder: Path) -> World:
    """As the next process finds it, when the lease of the one that died has run out."""
    engine, source = new_catalog(folder), MemorySource({})
    docs = replace(
        new_bench(folder, source, engine=engine),
        embedder=WordEmbedder("words-2"),
        leases=CatalogLeases(engine, clock=lambda: 4e9),
    )
    return world_of(folder, engine, source, docs, keep_releases=1)


def test_a_kill_at_any_call_loses_nothing_and_the_next_run_ends_where_an_undisturbed_one_does(tmp_path: Path) -> None:
    start = prepared(tmp_path / "start")
    whole = opened(shutil.copytree(start, tmp_path / "whole"))
    retention = retained(whole.bench)
    assert (retention.keep, retention.reclaim) == ((4, 5), (1, 2, 3))
    rows = [row for row in whole.releases.releases("default") if row.id in retention.releases]
    answers = {row.id: whole.find(row, QUESTION) for row in rows}
    vacuum(whole, drop_vectors=True)
    undisturbed = stored(whole)
    calls, killed = 0, True
    while killed:
        calls += STEP
        folder = shutil.copytree(start, tmp_path / f"case-{calls}")
        world = opened(folder)
        try:
            vacuum(mortal(world, Countdown(calls)), drop_vectors=True)
            killed = False
        except Killed:
            pass
        assert {row.id: world.find(row, QUESTION) for row in rows} == answers, calls
        for snapshot in world.docs.catalog.snapshots("default"):
            held = world.docs.index.chunk_ids(snapshot.collection, snapshot.number)
            assert held == set(world.docs.catalog.chunk_keys("default", snapshot.number)), calls
        world = replace(world, bench=replace(world.bench, documents=world.docs))
        with world.engine.begin() as connection:
            connection.execute(t.leases.update().values(expires_at=0.0))
        vacuum(world, drop_vectors=True)
        assert stored(world) == undisturbed, calls
        world.engine.dispose()
        shutil.rmtree(folder)
    assert calls > 60


# ── folders ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def put(world: World, text: str) -> str:
    folder = world.folder / "new"
    folder.mkdir(exist_ok=True)
    (folder / "adapter.json").write_text(text)
    return FolderArtifacts(world.folder / "artifacts").put(folder)


def test_only_artifacts_that_no_row_names_and_that_are_old_enough_are_removed(world: World) -> None:
    world.publish(pages(1))
    named, evidence, forgotten = (put(world, text) for text in ("adapter", "evidence", "nobody's"))
    for path in (world.folder / "artifacts").iterdir():
        age(path, 25)
    fresh = put(world, "made a moment ago")
    row = world.register()
    tuned = row.manifest.model.model_copy(update={"kind": "lora", "adapter": named})
    world.releases.register(row.manifest.model_copy(update={"model": tuned}), "tuned")
    with world.engine.begin() as connection:
        values = {"release": row.id, "verdict": "HOLD", "summary": {}, "created_at": "now", "seq": 1}
        connection.execute(insert(t.evaluations).values(assistant="other", id=evidence, **values))
    report = vacuum(world)
    assert [leftover.name for leftover in report.leftovers] == [forgotten]
    store = FolderArtifacts(world.folder / "artifacts")
    assert [store.exists(digest) for digest in (named, evidence, fresh, forgotten)] == [True, True, True, False]
    assert store.path(named).is_dir()


def test_work_folders_of_trainings_that_are_done_are_removed_and_of_others_kept(world: World) -> None:
    world.publish(pages(1))
    states_of = {"done": ["succeeded"], "going": ["running"], "broken": ["failed"], "shared": ["succeeded", "running"]}
    for name, words in states_of.items():
        folder = world.folder / "trainings" / name
        folder.mkdir(parents=True)
        (folder / "checkpoint.json").write_text("x" * 10)
        age(folder, 25)
        with world.engine.begin() as connection:
            for at, state in enumerate(words):
                row = {"assistant": f"a{at}", "id": name, "state": state, "label_ids": [], "started_at": "2026"}
                connection.execute(insert(t.trainings).values(**row))
    (world.folder / "trainings" / "somebody's").mkdir()
    report = vacuum(world)
    assert [(x.kind, x.name, x.size_bytes) for x in report.leftovers] == [("training", "done", 10)]
    assert sorted(path.name for path in (world.folder / "trainings").iterdir()) == [
        "broken",
        "going",
        "shared",
        "somebody's",
    ]


def test_an_adapter_and_its_rows_stay_while_a_model_or_a_release_names_them(world: World) -> None:
    world.publish(pages(1))
    current, trained, rows, nobodys = (put(world, text) for text in ("current", "trained", "rows", "nobody's"))
    for path in (world.folder / "artifacts").iterdir():
        age(path, 25)
    row = world.register()
    tuned = row.manifest.model.model_copy(update={"kind": "lora", "adapter": current})
    release = world.releases.register(row.manifest.model_copy(update={"model": tuned}), "tuned")
    moved = world.releases.move_pointer(
        "default",
        release.id,
        expected=None,
        kind="promote",
        evaluation=None,
        unproven=True,
        who="ann",
        reason="-",
    )
    assert moved is not None
    trainings = CatalogTrainings(world.engine)
    trainings.start("default", "t-1", ["l-1"])
    lineage = Lineage("t-1", "lora", row.manifest.snapshot, ("l-1",), 1, {}, dataset="00", dataset_artifact=rows)
    trainings.succeed("default", tuned.model_copy(update={"adapter": trained}), lineage)
    assert [leftover.name for leftover in vacuum(world).leftovers] == [nobodys]
    store = FolderArtifacts(world.folder / "artifacts")
    assert [store.exists(digest) for digest in (current, trained, rows, nobodys)] == [True, True, True, False]
