"""Whatever fails, and wherever a process dies: one paid job per intent, the right end, and never over the budget."""

from __future__ import annotations

from collections import Counter

import pytest
from hosted_world import PRICE, Schedule, World, play

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
