"""What every HostedJobs promises. A new store joins by adding itself to `STORES`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from catalog_servers import migrated_copy
from document_fakes import new_catalog
from hosted_world import MemoryHostedJobs

from infra.adapters.catalog.database import engine_for
from infra.adapters.catalog.hosted_jobs import CatalogHostedJobs
from tasks.core.errors import BudgetExceeded
from tasks.core.hosted_jobs import Checkpoint, HostedJob, JobError
from tasks.hosted_training import HostedJobs, change_row

STORES = ["memory", "sqlite", "postgresql"]


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> HostedJobs:
    if request.param == "memory":
        return MemoryHostedJobs()
    if request.param == "sqlite":
        return CatalogHostedJobs(new_catalog(tmp_path))
    return CatalogHostedJobs(engine_for(migrated_copy(request.getfixturevalue("postgres_server"))))


def job(intent: str = "t-1", assistant: str = "default") -> HostedJob:
    return HostedJob(assistant, intent, "gpt-4.1-mini", "supervised", 1_000, 0.5, begun_at=7.0, wanted=("sha-1",))


FULL = replace(
    job(),
    state="failed",
    attempt=2,
    files={"sha-1": "file-1"},
    job="ftjob-1",
    model="ft:x",
    error=JobError("code", "message", "training_file"),
    owner="me",
    creates=2,
    attempted_at=8.5,
    not_before=9.5,
    polls=3,
    polled_at=10.5,
    nudged_at=11.5,
    webhooks=("wh-1", "wh-2"),
    last_event="e-1",
    checkpoints=(Checkpoint("ft:x:1", 1, {"loss": 0.5}),),
    metrics={"loss": 0.5},
    trained_tokens=900,
    spent_usd=0.25,
    golden_answers="sha256-1",
    beside=True,
)


def put(store: HostedJobs, row: HostedJob) -> HostedJob:
    return store.change(row.assistant, row.intent, lambda _row, _others: row)


@pytest.mark.parametrize("row", [job(), FULL])
def test_a_row_comes_back_as_it_was_written(store: HostedJobs, row: HostedJob) -> None:
    assert put(store, row) == row
    assert store.job("default", "t-1") == row


def test_a_change_sees_the_row_and_the_others_of_its_assistant(store: HostedJobs) -> None:
    seen: list[tuple[HostedJob | None, list[str]]] = []

    def look(row: HostedJob | None, others: object) -> HostedJob:
        seen.append((row, sorted(one.intent for one in others)))  # type: ignore[attr-defined]
        return row or job()

    put(store, job("t-2"))
    put(store, job("t-3", "another"))
    store.change("default", "t-1", look)
    store.change("default", "t-1", look)
    assert seen == [(None, ["t-2"]), (job(), ["t-2"])]


def test_what_a_change_raises_leaves_everything_as_it_was(store: HostedJobs) -> None:
    def refuse(_row: HostedJob | None, _others: object) -> HostedJob:
        raise BudgetExceeded("no")

    for before in ([], [job()]):
        for row in before:
            put(store, row)
        with pytest.raises(BudgetExceeded):
            store.change("default", "t-1", refuse)
        assert store.jobs("default") == before


def test_rows_are_found_by_the_vendors_id_and_files_by_their_content(store: HostedJobs) -> None:
    put(store, FULL)
    put(store, job("t-2"))
    assert store.named("ftjob-1") == FULL
    assert store.named("ftjob-2") is None
    assert (store.file("sha-1"), store.file("sha-2")) == ("file-1", None)
    assert store.job("default", "t-9") is None


def test_every_row_of_an_assistant_and_none_of_another_is_listed(store: HostedJobs) -> None:
    for row in (job("t-1"), job("t-2"), job("t-1", "another")):
        put(store, row)
    assert {row.intent for row in store.jobs("default")} == {"t-1", "t-2"}
    assert store.jobs("nobody") == []


def test_of_many_that_claim_a_row_at_once_one_gets_it(store: HostedJobs) -> None:
    put(store, job())

    def claim(owner: int) -> str | None:
        return change_row(
            store, "default", "t-1", lambda row: row if row.owner else replace(row, owner=str(owner))
        ).owner

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(claim, range(24)))) == 1


def test_of_many_that_spend_at_once_none_passes_the_budget(store: HostedJobs) -> None:
    def spend(n: int) -> bool:
        def decide(row: HostedJob | None, others: object) -> HostedJob:
            if sum(one.cost_usd for one in others) + 0.5 > 2.0:  # type: ignore[attr-defined]
                raise BudgetExceeded("no")
            return row or job(f"t-{n}")

        try:
            store.change("default", f"t-{n}", decide)
        except BudgetExceeded:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(spend, range(16))) == 4
