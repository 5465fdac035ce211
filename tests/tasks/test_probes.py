"""Probe questions over the real catalog and the real embedded index."""

from __future__ import annotations

import random
import sqlite3
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from document_fakes import WordEmbedder, ingest
from evaluation_fakes import MemoryLabels, golden_label
from vacuum_fakes import World, new_world, page, vacuum

from infra.adapters.catalog.probes import CatalogProbes
from infra.adapters.embedded_index import EmbeddedIndex
from tasks.core.errors import IntegrityFailure
from tasks.core.probes import MAX_CHUNKS, Probe
from tasks.probes import recheck_probes, record_missing_probes, record_probes, require_no_alarm
from tasks.vacuum_report import render_vacuum

PAGES = 20


@pytest.fixture
def world(tmp_path: Path) -> World:
    return new_world(tmp_path, keep_releases=3)


def first_pages(of: int = PAGES) -> dict[str, str]:
    return {f"page-{n}.md": page(n, 1) for n in range(of)}


def remembered(world: World, release: str) -> list[tuple[str, tuple[str, ...]]]:
    return [(p.question, p.expected) for p in CatalogProbes(world.engine).probes("default", release)]


def test_probes_of_retained_releases_stay_identical_through_ten_times_a_fifth_of_churn_and_vacuums(
    world: World,
) -> None:
    draw = random.Random(7)
    first = world.serve(first_pages(), "the first")
    for version in range(2, 12):
        for number in draw.sample(range(PAGES), PAGES // 5):
            world.source.write(f"page-{number}.md", page(number, version))
        if version in (5, 8):
            world.serve({}, f"version {version}")
        else:
            world.publish()
        report = vacuum(world).probes
        assert report is not None
        assert (report.drifted, report.unasked, report.alarming) == (0, (), False)
    assert first.id in {one.release for one in report.releases}
    assert [len(one.asked) for one in report.releases] == [MAX_CHUNKS] * 3
    assert world.docs.catalog.reclaimed("default").keys() == {2, 3, 4, 6, 7, 9, 10}


def test_golden_questions_are_asked_where_there_are_any(world: World) -> None:
    labels = [golden_label(n) for n in range(3)]
    world.probing = replace(world.probing, labels=MemoryLabels(list(labels)))
    row = world.serve(first_pages(3))
    assert [question for question, _ in remembered(world, row.id)] == [label.question for label in labels]
    assert all(len(found) == row.manifest.retrieval.k for _, found in remembered(world, row.id))


def test_what_was_found_first_is_kept_whatever_is_found_later(world: World) -> None:
    row = world.serve(first_pages(3))
    before = remembered(world, row.id)
    world.probing = replace(world.probing, labels=MemoryLabels([golden_label(1)]))
    assert record_probes(world.probing, row) == len(before)
    assert remembered(world, row.id) == before


def test_two_runs_that_record_at_once_leave_the_probes_of_the_first(world: World) -> None:
    row = world.serve(first_pages(3))
    before = remembered(world, row.id)
    CatalogProbes(world.engine).record("default", row.id, [Probe("another question", ("c",))])
    assert remembered(world, row.id) == before


def test_a_release_that_was_registered_without_probes_gets_them_at_the_next_chance(world: World) -> None:
    world.publish(first_pages(3))
    made = world.register()
    bare = world.releases.register(made.manifest.model_copy(update={"require_support": False}), "killed right after")
    assert remembered(world, bare.id) == []
    assert record_missing_probes(world.probing) == len(remembered(world, bare.id)) > 0
    assert remembered(world, bare.id) == remembered(world, made.id)
    other = world.releases.register(made.manifest.model_copy(update={"pattern": "routed"}), "killed right after")
    assert other.id in {one.release for one in recheck_probes(world.probing).releases if one.asked}


def test_each_distinct_question_is_embedded_once_for_all_releases(world: World) -> None:
    for system in ("one", "two", "three"):
        row = world.serve(first_pages(3), system)
    assert isinstance(world.docs.embedder, WordEmbedder)
    world.docs.embedder.embedded.clear()
    report = recheck_probes(world.probing)
    assert report.checked == 3 * len(remembered(world, row.id))
    assert sorted(world.docs.embedder.embedded) == sorted(question for question, _ in remembered(world, row.id))


def tamper(world: World) -> None:
    """What a release reads is changed behind everybody's back: as many chunks, of which one says something else."""
    with sqlite3.connect(world.folder / "catalog-index.sqlite") as db:
        vector, words = db.execute("SELECT vector, words FROM chunks ORDER BY id LIMIT 1").fetchone()
        db.execute("UPDATE chunks SET vector = ?, words = ?", (vector, words))
    db.close()


def test_drift_on_an_exact_index_is_an_alarm_that_names_the_question_and_both_lists(world: World) -> None:
    row = world.serve(first_pages(3))
    assert not recheck_probes(world.probing).alarming
    tamper(world)
    world.probing = replace(
        world.probing,
        retrieval=replace(world.probing.retrieval, index=EmbeddedIndex(world.folder / "catalog-index.sqlite")),
    )
    report = recheck_probes(world.probing)
    worst = report.releases[0].worst[0]
    with pytest.raises(IntegrityFailure, match="cannot change") as raised:
        require_no_alarm(report)
    for part in (row.id, worst.probe.question, ", ".join(worst.probe.expected), ", ".join(worst.found)):
        assert part in raised.value.message
    last = CatalogProbes(world.engine).last_check("default")
    assert last is not None
    assert (last.checked, last.identical) == (report.checked, report.identical)
    assert last.identical < last.checked


@dataclass
class Drifting:
    """An index whose keyword statistics count every stored chunk: old answers move."""

    index: EmbeddedIndex
    exact: bool = False

    def __getattr__(self, name: str) -> object:
        return getattr(self.index, name)


def test_drift_on_an_index_that_is_not_exact_is_reported_with_its_reason_and_alarms_nobody(world: World) -> None:
    world.serve(first_pages(3))
    tamper(world)
    drifting = Drifting(EmbeddedIndex(world.folder / "catalog-index.sqlite"))
    world.probing = replace(
        world.probing,
        retrieval=replace(world.probing.retrieval, index=drifting),  # type: ignore[arg-type]
    )
    report = recheck_probes(world.probing)
    assert report.drifted > 0
    assert "statistics of every chunk it stores" in report.sentence
    require_no_alarm(report)


def test_a_release_that_cannot_be_asked_is_named_with_the_reason_and_the_others_are_asked(world: World) -> None:
    old = world.serve(first_pages(3), "old")
    embedder = WordEmbedder("words-2")
    world.docs = replace(world.docs, embedder=embedder)
    world.probing = replace(world.probing, retrieval=replace(world.probing.retrieval, embedder=embedder))
    ingest(world.docs)
    new = world.serve({}, "new")
    report = recheck_probes(world.probing)
    assert [one.release for one in report.releases] == [new.id]
    assert [release for release, _ in report.unasked] == [old.id]
    assert report.drifted == 0


def test_before_the_first_check_there_is_none(world: World) -> None:
    world.serve(first_pages(1))
    assert CatalogProbes(world.engine).last_check("default") is None
    assert recheck_probes(world.probing).checked == 4
    assert CatalogProbes(world.engine).last_check("default") is not None


def test_without_releases_there_is_nothing_to_ask(world: World) -> None:
    assert recheck_probes(world.probing).checked == 0


def test_the_report_says_what_went_why_and_what_drifted(world: World) -> None:
    world.serve(first_pages(3), "one")
    for version in (2, 3):
        world.publish({"page-0.md": page(0, version)})
    report = vacuum(world)
    text = render_vacuum(report)
    assert text.startswith("# 1 snapshots went, 2 stay\n")
    assert all(f"- {fate.reason}" in text for fate in report.retention.fates)
    assert report.probes is not None
    assert report.probes.sentence in text
    assert f"| {report.retention.releases[0]} | 1 | 12 | 12 | 100.0% | 12 |" in text
