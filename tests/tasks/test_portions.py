"""Portions of a run: nothing is left out, nothing is in two, and only the same parser and embedder may take one."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from document_fakes import MemorySource, ingest, new_bench, new_catalog, rebuilt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from tasks.core.errors import BadSetting
from tasks.core.ingestion import Plan
from tasks.documents import DocumentsBench, holding_lease, plan, read
from tasks.portions import FilePortion, TextPortion, file_portions, names, take, text_portions
from tasks.snapshots import build, embed, publish, to_embed
from tasks.sources import resolve_sources, scan

SIZE = 3


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = new_catalog(tmp_path)
    yield made
    made.dispose()


@pytest.fixture
def source() -> MemorySource:
    made = MemorySource({})
    for n in range(8):
        made.write(f"pump-{n}.md", f"# Pump {n}\n\nPump {n} moves {n + 40} litres.\n\n## Care\n\nOil it {n} times.")
    return made


@pytest.fixture
def bench(tmp_path: Path, source: MemorySource, engine: Engine) -> DocumentsBench:
    return new_bench(tmp_path, source, engine=engine)


def planned(bench: DocumentsBench) -> Plan:
    return plan(bench, scan(bench, resolve_sources(bench, "memory:docs")))


def test_every_file_is_in_one_portion(bench: DocumentsBench) -> None:
    todo = planned(bench)
    portions = file_portions(bench, todo, SIZE)
    assert [len(one.files) for one in portions] == [3, 3, 2]
    assert [file for one in portions for file in one.files] == list(todo.to_read)
    assert names(portions) == ["parse 1-3 of 8", "parse 4-6 of 8", "parse 7-8 of 8"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(st.text("abc", min_size=1), st.text(max_size=9)), st.integers(1, 5))
def test_every_text_is_in_one_portion(bench: DocumentsBench, texts: dict[str, str], size: int) -> None:
    portions = text_portions(bench, texts, size)
    assert all(0 < len(one.texts) <= size for one in portions)
    assert [key for one in portions for key in one.texts] == (
        sorted(texts, key=lambda key: (len(texts[key]), key)) if len(texts) > size else []
    )


def test_what_one_portion_would_hold_is_not_divided(bench: DocumentsBench) -> None:
    assert file_portions(bench, planned(bench), 8) == []
    assert text_portions(bench, {"k": "text"}, 1) == []


def test_whoever_takes_the_portions_the_snapshot_and_the_count_of_embeds_are_the_same(
    bench: DocumentsBench, source: MemorySource, tmp_path: Path
) -> None:
    alone = rebuilt(bench, tmp_path / "alone", source)
    with holding_lease(bench) as lease:
        todo = planned(bench)
        for portion in reversed(file_portions(bench, todo, SIZE)):  # in any order
            assert take(bench, portion) == len(portion.files)
            assert take(bench, portion) == len(portion.files)  # and twice
        draft = read(bench, todo, lease)
        missing = to_embed(bench, draft)
        first, *lost = text_portions(bench, missing, SIZE)
        assert take(bench, first) == SIZE
        assert take(bench, first) == 0
        assert lost  # nobody does these
        report = publish(bench, build(bench, embed(bench, draft, lease, missing=missing), lease), lease)
    assert (report.manifest_hash, report.embeds) == (alone.manifest_hash, alone.embeds)
    assert report.embeds == len(missing)


def test_a_file_that_cannot_be_read_costs_its_portion_nothing(bench: DocumentsBench, source: MemorySource) -> None:
    portions = file_portions(bench, planned(bench), SIZE)
    del source.contents["pump-1.md"]
    assert [take(bench, one) for one in portions] == [2, 3, 2]


def test_another_parser_or_embedder_takes_nothing(bench: DocumentsBench) -> None:
    [first, *_] = file_portions(bench, planned(bench), SIZE)
    with pytest.raises(BadSetting, match=r"This worker's parser is .*, that of the run is another"):
        take(bench, replace(first, parser="another"))
    with pytest.raises(BadSetting, match=r"This worker's embedder is .*, that of the run is another"):
        take(bench, TextPortion({"k": "text"}, "another"))
    assert isinstance(first, FilePortion)
    assert ingest(bench).embeds > 0  # nothing was kept under a wrong name
