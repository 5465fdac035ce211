"""Webhooks and what they lead to: each change is told once, and read by a run that begins after it."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from prefect_fake import FakePrefect, Killed
from sqlalchemy import Engine, delete, select, update

from infra.adapters.catalog import tables as t
from infra.adapters.catalog.database import durable
from infra.adapters.catalog.deliveries import CatalogDeliveries
from infra.adapters.catalog.outbox import CatalogOutbox
from tasks.core.source_changes import Concern
from tasks.outbox import DOCS_CHANGED, deliver

DAY = 86400.0


def concern(change: int, assistant: str = "default") -> Concern:
    return Concern(assistant, "docs", f"{DOCS_CHANGED}:{assistant}:{change}", {"source": "docs"})


@pytest.fixture
def engine(catalog_engine: Engine) -> Engine:
    return catalog_engine


def test_a_delivery_counts_once_by_any_of_its_marks(engine: Engine) -> None:
    deliveries = CatalogDeliveries(engine, DAY)
    assert deliveries.take("github", ("id:1", "body:x"), [concern(1)]) == [concern(1).key]
    for marks in (("id:1", "body:y"), ("id:2", "body:x"), ("id:1",)):
        assert deliveries.is_known("github", marks)
        assert deliveries.take("github", marks, [concern(2)]) is None
    assert deliveries.take("gitlab", ("id:1",), [concern(3)]) == [concern(3).key]
    assert deliveries.take("github", ("id:3",), [concern(1), concern(4)]) == [concern(4).key]
    assert len(CatalogOutbox(engine).pending("default")) == 3


def test_deliveries_are_forgotten_after_a_while_so_that_they_do_not_pile_up(engine: Engine) -> None:
    moment = 0.0
    deliveries = CatalogDeliveries(engine, DAY, clock=lambda: moment)
    for day in range(5):
        moment = day * 0.6 * DAY
        deliveries.take("github", (f"id:{day}",), [])
    with engine.connect() as connection:
        kept = connection.scalars(select(t.webhook_deliveries.c.mark)).all()
    assert sorted(kept) == ["id:3", "id:4"]


def test_notices_that_were_told_are_forgotten_too_and_those_that_wait_never(engine: Engine) -> None:
    moment = time.time()
    deliveries, outbox = CatalogDeliveries(engine, DAY, clock=lambda: moment), CatalogOutbox(engine)
    deliveries.take("github", ("id:1",), [concern(1), concern(2)])
    outbox.delivered(concern(1).key)
    moment += 2 * DAY
    deliveries.take("github", ("id:2",), [concern(3)])
    with engine.connect() as connection:
        kept = connection.scalars(select(t.outbox.c.key)).all()
    assert sorted(kept) == [concern(2).key, concern(3).key]


def test_what_is_taken_is_on_the_disk_before_it_is_answered(engine: Engine) -> None:
    with durable(engine).begin() as connection:
        if engine.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL: a commit waits for the disk
        else:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"


def test_one_delivery_that_comes_many_times_at_once_is_taken_once(engine: Engine) -> None:
    deliveries, taken, start = CatalogDeliveries(engine, DAY), [], threading.Barrier(8)

    def take(n: int) -> None:
        start.wait()
        taken.append(deliveries.take("github", ("id:1",), [concern(1), concern(100 + n)]))

    threads = [threading.Thread(target=take, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(one) for one in taken if one is not None] == [2]
    assert len(CatalogOutbox(engine).pending("default")) == 2


def test_changes_that_wait_are_told_together_and_later_ones_join_a_run_that_has_not_begun(engine: Engine) -> None:
    deliveries, outbox, prefect = CatalogDeliveries(engine, DAY), CatalogOutbox(engine), FakePrefect()

    def come(*changes: int) -> None:
        deliveries.take("github", (f"id:{changes}",), [concern(one) for one in changes])
        asyncio.run(deliver(outbox, "default", prefect.nudge, prefect.find))

    come(1, 2, 3)
    assert len(prefect.runs) == 1
    come(4)
    assert len(prefect.runs) == 1
    prefect.begin()
    come(5)
    assert len(prefect.runs) == 2
    assert outbox.pending("default") == []


def test_after_a_kill_the_same_changes_are_told_under_the_same_key_and_new_ones_under_another(engine: Engine) -> None:
    deliveries, outbox, prefect = CatalogDeliveries(engine, DAY), CatalogOutbox(engine), FakePrefect(dies=True)
    deliveries.take("github", ("id:1",), [concern(1)])
    with suppress(Killed):
        asyncio.run(deliver(outbox, "default", prefect.nudge, prefect.find))
    prefect.begin()
    deliveries.take("github", ("id:2",), [concern(2)])
    told = asyncio.run(deliver(outbox, "default", prefect.nudge, prefect.find))
    assert sorted(prefect.runs.values()) == [1, 2]
    assert sorted(notice.key for notice in told) == sorted(prefect.runs)
    assert [notice.payload for notice in told] == [{"sources": ["docs"], "changes": 1}] * 2


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("hook"), st.integers(0, 5)),
        st.tuples(st.sampled_from(["tell", "tell", "begin", "away", "back", "lost", "dies"]), st.just(0)),
    ),
    max_size=30,
)


@examples(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ACTS)
def test_whatever_is_repeated_killed_or_away_each_change_has_one_run_that_begins_after_it(
    engine: Engine, acts: list[tuple[str, int]]
) -> None:
    with engine.begin() as connection:
        connection.execute(delete(t.outbox))
        connection.execute(delete(t.webhook_deliveries))
    clock, came = [0], {}
    deliveries, outbox = CatalogDeliveries(engine, DAY), CatalogOutbox(engine)
    prefect = FakePrefect(moment=lambda: clock[0])

    def tell() -> None:
        with suppress(Killed):
            asyncio.run(deliver(outbox, "default", prefect.nudge, prefect.find))

    for act, change in [*acts, ("back", 0), ("tell", 0), ("tell", 0), ("begin", 0)]:
        clock[0] += 1
        match act:
            case "hook":
                if deliveries.take("github", (f"id:{change}",), [concern(change)]) is not None:
                    came[concern(change).key] = clock[0]
            case "tell":
                tell()
            case "begin":
                prefect.begin()
            case "away" | "back":
                prefect.away = act == "away"
                prefect.lost = prefect.dies = False
            case _:
                setattr(prefect, act, True)
    with engine.connect() as connection:
        rows = connection.execute(select(t.outbox.c.key, t.outbox.c.telling, t.outbox.c.delivered_at)).all()
    assert {row.key for row in rows} == set(came)
    assert len(rows) == len(came)
    assert all(row.delivered_at for row in rows)
    assert {row.telling for row in rows} == set(prefect.runs)
    assert all(prefect.begun[row.telling] > came[row.key] for row in rows)


def test_a_notice_of_before_is_told_as_it_was(engine: Engine) -> None:
    """Rows that an older version wrote have no telling."""
    deliveries, outbox, prefect = CatalogDeliveries(engine, DAY), CatalogOutbox(engine), FakePrefect()
    deliveries.take("github", ("id:1",), [concern(1)])
    with engine.begin() as connection:
        connection.execute(update(t.outbox).values(topic="labels.threshold-reached"))
    assert outbox.assistants() == ["default"]
    [told] = asyncio.run(deliver(outbox, "default", prefect.nudge, prefect.find))
    assert (told.key, told.telling, list(prefect.runs)) == (concern(1).key, None, [concern(1).key])
    assert outbox.assistants() == []
