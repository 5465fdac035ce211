"""Whatever fails, and wherever a process dies: one paid job per intent, the right end, and never over the budget."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hosted_world import PRICE, Schedule, World, play
from retrained_world import Retraining, play_changing

SCHEDULES = 500
PARTS = 10


@pytest.mark.parametrize("part", range(PARTS))
def test_no_schedule_of_faults_pays_twice_or_ends_wrongly(part: int) -> None:
    seen: Counter[str] = Counter()
    for seed in range(part * SCHEDULES // PARTS, (part + 1) * SCHEDULES // PARTS):
        schedule, world = Schedule.drawn(seed), World()
        row = play(schedule, world)
        assert len(world.vendor.paid) <= 1, schedule
        assert (row.state if row else None) == schedule.should_end, schedule
        billed = sum(job.billed(world.clock()) for job in world.vendor.made)
        assert billed * PRICE / 1e6 <= world.budget_usd, schedule
        if schedule.should_end is None:
            assert (world.vendor.made, world.vendor.files) == ([], {}), schedule
        if row is not None and row.state == "succeeded":
            [paid] = world.vendor.paid
            assert (row.job, row.model, row.trained_tokens) == (paid.id, world.vendor.model_of(paid), row.tokens)
        seen[str(schedule.should_end)] += 1
    assert seen["succeeded"] > SCHEDULES / PARTS / 3


@pytest.mark.parametrize("part", range(PARTS))
def test_no_schedule_of_faults_pays_twice_or_loses_a_model_when_rows_change_in_the_middle(
    part: int, tmp_path: Path
) -> None:
    seen: Counter[str] = Counter()
    for seed in range(part * SCHEDULES // PARTS, (part + 1) * SCHEDULES // PARTS):
        schedule, at = Schedule.drawn(seed), Retraining(tmp_path)
        play_changing(schedule, at)
        vendor, clock = at.world.vendor, at.world.clock
        good = [job for job in vendor.paid if job.status(clock()) == "succeeded"]
        assert len(good) <= 1, schedule
        assert {vendor.model_of(job) for job in good} == {one.id for one in at.trainings.made.values()}, schedule
        tried = [sum(job.body["training_file"] == one.body["training_file"] for one in vendor.paid) for job in good]
        assert tried == [1] * len(good), schedule
        if schedule.ends == "succeeded":
            assert len(vendor.paid) <= 1, schedule
            assert (len(good) == 1) == (schedule.should_end == "succeeded"), schedule
        for job, model in zip(good, at.trainings.made.values(), strict=True):
            taught = vendor.files[job.body["training_file"]].content.count(b"\n")
            assert (model.lineage.rows, len(model.lineage.label_ids)) == (taught, taught), schedule
        assert sum(job.billed(clock()) for job in vendor.made) * PRICE / 1e6 <= at.world.budget_usd, schedule
        seen["collected"] += bool(at.trainings.made) and at.intent() not in at.trainings.made
        seen["trained"] += at.intent() in at.trainings.made
    assert seen["collected"] > 0
    assert seen["trained"] > SCHEDULES / PARTS / 10
