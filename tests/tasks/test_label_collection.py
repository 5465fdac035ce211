"""Labels from several places: one that cannot be read costs only itself, and a second round changes nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import pytest

from infra.adapters.catalog.database import engine_for
from infra.adapters.catalog.labels import CatalogLabels
from infra.adapters.catalog.migrate import migrate
from tasks.core.errors import CannotRetry, SourceMissing, WorthRetrying
from tasks.core.label_splits import SplitPolicy
from tasks.label_collection import import_places, require_all_read
from tasks.label_files import LabelFile
from tasks.labels import LabelBench


@pytest.fixture
def bench(tmp_path: Path) -> LabelBench:
    engine = engine_for(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    migrate(engine)
    return LabelBench("default", CatalogLabels(engine), SplitPolicy(0, 0), threshold=100)


def unreachable() -> BinaryIO:
    raise WorthRetrying("The store is away.")


def rows(*numbers: int) -> bytes:
    return b"\n".join(json.dumps({"question": f"Question {n}?", "answer": f"{n}."}).encode() for n in numbers)


PLACES = {
    "one": [LabelFile("one", lambda: BytesIO(rows(1, 2) + b"\n{"))],
    "many": [
        LabelFile("a", lambda: BytesIO(rows(3))),
        LabelFile("b", unreachable),
        LabelFile("c", lambda: BytesIO(b"")),
    ],
}


def files_at(place: str) -> Sequence[LabelFile]:
    if place not in PLACES:
        raise SourceMissing(f"There is nothing at {place}.")
    return PLACES[place]


def test_every_file_that_can_be_read_is_imported_and_the_others_are_named(bench: LabelBench) -> None:
    report = import_places(bench, ["gone", "one", "many"], files_at)
    assert [(x.name, x.accepted, x.errors, x.failed.message if x.failed else None) for x in report.files] == [
        ("gone", 0, 0, "There is nothing at gone."),
        ("one", 2, 1, None),
        ("a", 1, 0, None),
        ("b", 0, 0, "The store is away."),
        ("c", 0, 0, "c holds no label. Write one JSON object per line."),
    ]
    assert report.counts.accepted == 2 + 1


def test_a_second_round_changes_nothing(bench: LabelBench) -> None:
    import_places(bench, ["one"], files_at)
    before = bench.catalog.labels("default")
    assert [(x.accepted, x.duplicates) for x in import_places(bench, ["one"], files_at).files] == [(0, 2)]
    assert bench.catalog.labels("default") == before


def test_what_could_not_be_read_fails_the_round_at_its_end_and_says_whether_trying_again_can_help(
    bench: LabelBench,
) -> None:
    with pytest.raises(WorthRetrying, match="2 label files were not read: The store is away"):
        require_all_read(import_places(bench, ["many"], files_at))
    with pytest.raises(CannotRetry, match="1 label files were not read: There is nothing at gone"):
        require_all_read(import_places(bench, ["gone", "one"], files_at))
    require_all_read(import_places(bench, ["one"], files_at))
