"""Retraining at a vendor in the small world of `hosted_world`, by the flow's steps, on rows that change meanwhile."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hosted_world import Died, Interrupted, Schedule, World, rows, spoil

from tasks.core.errors import RatchetError
from tasks.core.hosted_jobs import ENDED
from tasks.core.ports import TrainingRow
from tasks.core.releases import ModelRef, SnapshotRef
from tasks.core.retraining import intent_id
from tasks.hosted_collecting import collect_jobs, train_or_collect
from tasks.hosted_trainer import HostedTrainer
from tasks.training import Lineage, RegisteredModel, RenderedRows, TrainingBench, TrainingReport

THRESHOLD = 5
Strikes = dict[tuple[int, bool], Callable[[], None]]


@dataclass
class MemoryTrainings:
    """TrainingCatalog in dictionaries."""

    clock: Callable[[], datetime]
    states: dict[str, str] = field(default_factory=dict)
    kept: dict[str, Lineage | None] = field(default_factory=dict)
    made: dict[str, RegisteredModel] = field(default_factory=dict)  # by training

    def start(self, assistant: str, training: str, label_ids: Sequence[str], begun: Lineage | None = None) -> None:
        if self.states.get(training) != "succeeded":
            self.states[training], self.kept[training] = "running", begun

    def succeed(self, assistant: str, ref: ModelRef, lineage: Lineage) -> RegisteredModel:
        known = next((one for one in self.made.values() if one.id == ref.base), None)
        self.made[lineage.training] = known or RegisteredModel(ref.base, ref, lineage, self.clock().isoformat())
        self.states[lineage.training] = "succeeded"
        return self.made[lineage.training]

    def fail(self, assistant: str, training: str, error: str) -> None:
        if self.states.get(training) != "succeeded":
            self.states[training] = "failed"

    def begun(self, assistant: str, training: str) -> Lineage | None:
        return self.kept.get(training)

    def made_by(self, assistant: str, training: str) -> RegisteredModel | None:
        return self.made.get(training)

    def models(self, assistant: str) -> list[RegisteredModel]:
        return list(self.made.values())[::-1]

    def last_succeeded(self, assistant: str) -> datetime | None:
        return None


@dataclass
class Retraining:
    """What outlives processes: the world, trainings, and what there is to train on today."""

    folder: Path
    world: World = field(default_factory=World)
    today: tuple[TrainingRow, ...] = field(default_factory=rows)
    snapshot: int = 1

    def __post_init__(self) -> None:
        self.trainings = MemoryTrainings(self.clock)

    @property
    def consumed(self) -> set[str]:
        return {label for one in self.trainings.models("default") for label in one.lineage.label_ids}

    def clock(self) -> datetime:
        return datetime.fromtimestamp(self.world.clock(), UTC)

    def bench(self, *, force: bool = False, **changed: Any) -> TrainingBench:
        """A process's own."""
        trainings = changed.pop("trainings", self.trainings)
        hosted = self.world.bench(**changed)
        return TrainingBench(
            assistant="default",
            labels=None,  # type: ignore[arg-type]  # the rows are rendered already
            trainings=trainings,
            retrieval=None,  # type: ignore[arg-type]
            trainer=HostedTrainer(hosted, force),
            workdir=self.folder,
            threshold=THRESHOLD,
            hosted=hosted,
            clock=self.clock,
        )

    def rendered(self) -> RenderedRows:
        snapshot = SnapshotRef(number=self.snapshot, manifest_hash=f"m-{self.snapshot}", collection="c")
        return RenderedRows(self.today, (), tuple(row.label_id for row in self.today), snapshot, self.clock())

    def intent(self) -> str:
        """Of today's rows."""
        return intent_id(self.today, (), HostedTrainer(self.world.bench()).fingerprint)

    def retrain(self, *, force: bool = False, **changed: Any) -> TrainingReport | None:
        """The order of the flow: what is owed is collected, and else it is trained when enough has come."""
        bench, rendered = self.bench(force=force, **changed), self.rendered()
        collected = None if force else collect_jobs(bench, "supervised")
        if collected is not None:
            return collected
        new = set(rendered.label_ids) - self.consumed
        if not force and len(new) < THRESHOLD:
            return None
        return train_or_collect(bench, rendered)

    def add_label(self) -> None:
        self.today = rows(len(self.today) + 1)

    def change_page(self) -> None:
        """The same labels over other passages."""
        self.snapshot += 1
        self.today = rows(len(self.today), word=f"pump-{self.snapshot}")


def play_changing(schedule: Schedule, at: Retraining) -> None:
    """Processes, one after another and one inside another, while labels and pages change; until nothing is to do."""
    draw, world = random.Random(schedule.seed + 2), at.world
    spoil(schedule, world, draw)
    world.budget_usd *= 2  # what was promised for rows that have changed before they were sent counts for 30 days
    deaths, changes = max(1, schedule.deaths), draw.choice([1, 1, 2])

    def news() -> None:
        nonlocal changes
        if changes and (world.vendor.made or draw.random() < 0.1):  # mostly while there is a job
            changes -= 1
            draw.choice([at.add_label, at.change_page])()

    def overtaken() -> None:
        news()
        _run(at, {})

    def killed() -> None:
        news()
        raise Died

    for _ in range(80):
        strikes: Strikes = {}
        if deaths:
            deaths -= 1
            strikes[(draw.choice([draw.randrange(60), draw.randrange(25, 80)]), draw.random() < 0.5)] = killed
        if schedule.overtaken:
            strikes.setdefault((draw.randrange(60), draw.random() < 0.5), overtaken)
        _run(at, strikes)
        if at.trainings.made or _is_over(at):
            break
        if draw.random() < 0.5:
            news()
        world.clock.wait(draw.choice([0.0, 1.0, 30.0, 600.0]))
    for _ in range(6):  # whoever comes later finds what is left, and changes nothing then
        _run(at, {})
        world.clock.wait(600.0)
    world.vendor.to_the_end()


def _is_over(at: Retraining) -> bool:
    row = at.world.jobs.job("default", at.intent())
    return row is not None and row.state in ENDED


def _run(at: Retraining, strikes: Strikes) -> None:
    """One process, to its end, its error or its death."""
    counter, world = itertools.count(), at.world
    with suppress(RatchetError, Died):
        at.retrain(
            vendor=Interrupted(world.open_port(world.vendor), counter, strikes),
            jobs=Interrupted(world.jobs, counter, strikes),
            trainings=Interrupted(at.trainings, counter, strikes),
        )
