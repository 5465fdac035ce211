"""The threshold is told once per crossing, whatever is killed, fails or comes meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from catalog_servers import migrated_copy
from hypothesis import given, settings
from hypothesis import strategies as st
from interruptions import PowerCut
from sqlalchemy import Engine, event, select

from infra.adapters.catalog import tables as t
from infra.adapters.catalog.database import engine_for
from infra.adapters.catalog.labels import CatalogLabels
from infra.adapters.catalog.migrate import migrate
from infra.adapters.catalog.outbox import CatalogOutbox
from infra.adapters.catalog.training import CatalogTrainings
from tasks.core.label_import import import_rows, reject
from tasks.core.label_rows import LabelRow
from tasks.core.label_splits import SplitPolicy
from tasks.core.releases import ModelRef, SnapshotRef
from tasks.labels import LabelBench, accept_label, notice_crossing, reject_label, take_rows
from tasks.outbox import THRESHOLD_REACHED, Notice, deliver
from tasks.training import Lineage

THRESHOLD = 4
POLICY = SplitPolicy(golden_fraction=0, validation_fraction=0)
SNAPSHOT = SnapshotRef(number=1, manifest_hash="m", collection="c")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('catalog') / 'catalog.sqlite'}"
    else:
        url = migrated_copy(request.getfixturevalue("postgres_server"))
    engine = engine_for(url)
    migrate(engine)
    yield engine
    engine.dispose()


@dataclass
class Fuse:
    """Ends the run before the n-th statement that the catalog is asked from now on."""

    left: int = 0

    def __call__(self, *_: Any) -> None:
        if self.left:
            self.left -= 1
            if not self.left:
                raise PowerCut


@dataclass
class Runs:
    """A Prefect that starts one run per key, and can lose power before or after it started one."""

    by_key: dict[str, Notice] = field(default_factory=dict)
    dies: str = "never"

    async def nudge(self, notice: Notice) -> bool:
        if self.dies == "before":
            raise PowerCut
        self.by_key.setdefault(notice.key, notice)
        if self.dies == "after":
            raise PowerCut
        return self.dies != "away"


@dataclass
class World:
    """One assistant, and what should have been told by a reading of the promise on sets alone."""

    engine: Engine
    assistant: str
    runs: Runs = field(default_factory=Runs)
    training: tuple[str, list[str]] | None = None
    numbers: Iterator[int] = field(default_factory=count)
    told: int = 0
    crossed: set[str] | None = None  # told, and not over yet

    @property
    def bench(self) -> LabelBench:
        return LabelBench(self.assistant, CatalogLabels(self.engine), POLICY, THRESHOLD)

    def train_ids(self) -> list[str]:
        labels = self.bench.catalog.labels(self.assistant)
        return [x.id for x in labels if x.state == "accepted" and x.split == "train"]

    def new(self) -> set[str]:
        return set(self.train_ids()) - self.bench.catalog.consumed(self.assistant)

    def expect(self) -> None:
        """Called after every step, as steps are what others can see."""
        new = self.new()
        if self.crossed is not None and (len(new) < THRESHOLD or not self.crossed & new):
            self.crossed = None
        if self.crossed is None and len(new) >= THRESHOLD:
            self.crossed = new
            self.told += 1

    def notices(self) -> list[str]:
        row = t.outbox.c
        with self.engine.begin() as connection:
            return list(connection.scalars(select(row.key).where(row.assistant == self.assistant)))

    # ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def bring(self, first: int, many: int) -> None:
        rows = [LabelRow(n, f"Who turns valve {n}?", f"Number {n}.", split="train") for n in range(first, first + many)]
        take_rows(self.bench, rows)

    def reject(self, number: int) -> None:
        if labels := self.bench.catalog.labels(self.assistant):
            reject_label(self.bench, labels[number % len(labels)].id, "wrong")

    def accept(self, number: int) -> None:
        if labels := self.bench.catalog.labels(self.assistant):
            accept_label(self.bench, labels[number % len(labels)].id)

    def start(self) -> None:
        ids = self.train_ids()
        if ids and self.training is None:
            self.training = (f"t-{next(self.numbers)}", ids)
            CatalogTrainings(self.engine).start(self.assistant, *self.training)

    def end(self, how: str) -> None:
        """A training that dies is one that nobody notes anything about."""
        if self.training is None:
            return
        name, ids = self.training
        if how == "succeeds":
            lineage = Lineage(name, "lora", SNAPSHOT, tuple(ids), len(ids), {})
            ref = ModelRef(kind="lora", base="tiny", base_digest="d", adapter=f"sha256-{self.assistant}-{name}")
            CatalogTrainings(self.engine).succeed(self.assistant, ref, lineage)
        elif how == "fails":
            CatalogTrainings(self.engine).fail(self.assistant, name, "no memory")
        self.training = None

    def tell(self, dies: str) -> None:
        self.runs.dies = dies
        asyncio.run(deliver(CatalogOutbox(self.engine), self.assistant, self.runs.nudge))

    def sweep(self) -> None:
        notice_crossing(self.bench)


STEPS = st.one_of(
    st.tuples(st.just("bring"), st.integers(0, 12), st.integers(1, 6)),
    st.tuples(st.just("bring"), st.integers(0, 12), st.integers(1, 6)),
    st.tuples(st.just("reject"), st.integers(0, 30)),
    st.tuples(st.just("accept"), st.integers(0, 30)),
    st.tuples(st.just("start")),
    st.tuples(st.just("end"), st.sampled_from(["succeeds", "succeeds", "fails", "dies"])),
    st.tuples(st.just("tell"), st.sampled_from(["never", "before", "after", "away"])),
    st.tuples(st.just("sweep")),
)
names = count()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(STEPS, st.sampled_from([0, 0, 0, *range(1, 16)])), max_size=14))
def test_it_is_told_once_per_crossing_under_any_interleaving_of_imports_kills_and_trainings(
    engine: Engine, steps: list[tuple[tuple[Any, ...], int]]
) -> None:
    world, fuse = World(engine, f"a{next(names)}"), Fuse()
    event.listen(engine, "before_cursor_execute", fuse)
    try:
        for (name, *arguments), killed_at in steps:
            fuse.left = killed_at
            with contextlib.suppress(PowerCut):
                getattr(world, name)(*arguments)
            fuse.left = 0
            world.expect()
            assert len(world.notices()) == len(set(world.notices())) == world.told
    finally:
        event.remove(engine, "before_cursor_execute", fuse)
    world.tell("never")
    assert set(world.runs.by_key) <= set(world.notices())
    if world.crossed is not None:  # whoever is to act on what is still so has been told
        assert world.notices()[-1] in world.runs.by_key
    before = dict(world.runs.by_key)
    world.tell("never")
    world.sweep()
    assert (world.runs.by_key, len(world.notices())) == (before, world.told)


@pytest.fixture
def world(engine: Engine) -> World:
    return World(engine, f"b{next(names)}")


def test_a_kill_in_the_transaction_leaves_neither_labels_nor_a_notice(engine: Engine, world: World) -> None:
    def cut(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("INSERT INTO outbox"):
            raise PowerCut

    event.listen(engine, "before_cursor_execute", cut)
    with pytest.raises(PowerCut):
        world.bring(0, THRESHOLD)
    event.remove(engine, "before_cursor_execute", cut)
    assert (world.train_ids(), world.notices()) == ([], [])
    world.bring(0, THRESHOLD)
    assert (len(world.train_ids()), len(world.notices())) == (THRESHOLD, 1)


def test_the_notice_says_how_many_and_is_named_by_what_crossed(engine: Engine, world: World) -> None:
    world.bring(0, THRESHOLD - 1)
    assert CatalogOutbox(engine).pending(world.assistant) == []
    world.bring(0, THRESHOLD + 1)
    [notice] = CatalogOutbox(engine).pending(world.assistant)
    assert (notice.topic, notice.assistant) == (THRESHOLD_REACHED, world.assistant)
    assert notice.payload == {"crossing": 1, "new": THRESHOLD + 1, "threshold": THRESHOLD}
    assert notice.key.startswith(f"{THRESHOLD_REACHED}:{world.assistant}:1:")


def test_a_failed_training_tells_nothing_anew_and_a_succeeded_one_whatever_crossed_meanwhile(world: World) -> None:
    world.bring(0, THRESHOLD)
    for how in ("fails", "dies", "fails"):
        world.start()
        world.end(how)
        world.sweep()
    assert len(world.notices()) == 1
    world.start()
    world.bring(100, THRESHOLD)  # too late for this training
    assert len(world.notices()) == 1
    world.end("succeeds")
    assert len(world.notices()) == 2


def test_a_crossing_that_was_trained_on_before_anybody_was_told_is_not_told_any_more(world: World) -> None:
    world.bring(0, THRESHOLD)
    world.start()
    world.end("succeeds")
    world.tell("never")
    assert world.runs.by_key == {}


def test_a_threshold_that_was_lowered_is_noticed_by_the_sweep_and_by_it_once(engine: Engine, world: World) -> None:
    world.bring(0, THRESHOLD - 1)
    catalog = CatalogLabels(engine)
    noted = [catalog.note_crossing(world.assistant, THRESHOLD - 1) for _ in range(3)]
    assert noted == [True, False, False]


def test_labels_that_leave_and_come_back_cross_twice(world: World) -> None:
    world.bring(0, THRESHOLD)
    label = world.train_ids()[0]
    reject_label(world.bench, label, "wrong")
    accept_label(world.bench, label)
    assert len(world.notices()) == len(set(world.notices())) == 2


def test_marking_a_notice_twice_changes_nothing(engine: Engine, world: World) -> None:
    world.bring(0, THRESHOLD)
    outbox = CatalogOutbox(engine)
    [notice] = outbox.pending(world.assistant)
    outbox.delivered(notice.key)
    outbox.delivered(notice.key)
    assert outbox.pending(world.assistant) == []
    assert outbox.pending("other") == []


def test_an_import_without_a_threshold_keeps_to_that_of_the_crossing_that_is_open(engine: Engine, world: World) -> None:
    world.bring(0, THRESHOLD)
    catalog, ids = CatalogLabels(engine), world.train_ids()
    catalog.change(world.assistant, lambda there: reject(there.labels, ids[0], "wrong"))
    catalog.change(world.assistant, lambda there: import_rows(there.labels, [], POLICY))
    world.bring(20, 1)
    assert len(world.notices()) == 2
