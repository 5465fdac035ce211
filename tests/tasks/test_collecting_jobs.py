"""A hosted job whose labels or pages change while it runs is collected with what it was begun with, and paid once."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hosted_vendor import MemoryFineTuning, Vendor
from hosted_world import Died, Interrupted, rows
from retrained_world import Retraining
from sqlalchemy import Engine, update

from infra.adapters.catalog import tables as t
from infra.adapters.catalog.hosted_jobs import CatalogHostedJobs
from infra.adapters.catalog.retention import CatalogRetention
from infra.adapters.catalog.training import CatalogTrainings
from infra.adapters.folder_artifacts import FolderArtifacts
from tasks.core.errors import HostedJobAhead, HostedJobCancelled, HostedJobFailed, HostedJobRuns, HostedJobWaiting
from tasks.core.hosted_jobs import Pace
from tasks.datasets import Dataset, dataset_lines, export_dataset, keep_lines
from tasks.hosted_aftercare import cancel
from tasks.hosted_collecting import collect_jobs, owed_jobs, train_or_collect
from tasks.hosted_following import glanced
from tasks.hosted_training import begin, change_row

IMPATIENT = Pace(longest_wait_seconds=20.0)


@pytest.fixture
def at(tmp_path: Path) -> Retraining:
    return Retraining(tmp_path)


def left_running(at: Retraining) -> str:
    """The intent of a job that goes on at the vendor, and nobody follows."""
    intent, pace = at.intent(), at.world.pace
    at.world.pace = IMPATIENT
    with pytest.raises(HostedJobWaiting):
        at.retrain(force=False)
    at.world.pace = pace
    return intent


@pytest.mark.parametrize("change", ["add_label", "change_page"])
def test_a_job_is_collected_though_labels_or_pages_have_changed_since(at: Retraining, change: str) -> None:
    intent = left_running(at)
    getattr(at, change)()
    report = at.retrain()
    assert report is not None
    [job] = at.world.vendor.made
    lineage = report.model.lineage
    assert (report.model.id, lineage.training) == (at.world.vendor.model_of(job), intent)
    assert (lineage.label_ids, lineage.snapshot.number) == (tuple(f"l-{n}" for n in range(12)), 1)
    assert at.consumed == {f"l-{n}" for n in range(12)}  # a label that came since is still new
    assert at.retrain() is None
    assert len(at.world.vendor.made) == 1


def test_what_has_come_since_starts_the_next_training_once_it_is_enough(at: Retraining) -> None:
    left_running(at)
    for _ in range(5):
        at.add_label()
    first, second = at.retrain(), at.retrain()
    assert first is not None
    assert second is not None
    assert (len(first.model.lineage.label_ids), len(second.model.lineage.label_ids)) == (12, 17)
    assert len(at.world.vendor.made) == 2


def test_a_job_that_failed_is_told_by_its_error_and_the_next_run_trains_on_the_new_rows(at: Retraining) -> None:
    at.world.vendor.ends = "failed"
    left_running(at)
    at.add_label()
    with pytest.raises(HostedJobFailed):
        at.retrain()
    assert (at.consumed, len(at.world.vendor.made)) == (set(), 1)
    at.world.vendor.ends = "succeeded"
    report = at.retrain()
    assert report is not None
    assert len(report.model.lineage.label_ids) == 13


def test_a_job_that_was_cancelled_is_collected_by_nobody(at: Retraining) -> None:
    intent = left_running(at)
    at.add_label()
    at.world.vendor.cancel("ftjob-1")
    with pytest.raises(HostedJobCancelled):
        at.retrain()
    report = at.retrain()
    assert report is not None
    assert report.model.lineage.training == at.intent() != intent


def test_force_pays_for_another_beside_it_and_the_first_is_collected_later(at: Retraining) -> None:
    intent = left_running(at)
    at.add_label()
    forced = at.retrain(force=True)
    assert forced is not None
    assert forced.model.lineage.training == at.intent()
    later = at.retrain()
    assert later is not None
    assert later.model.lineage.training == intent
    assert (len(at.world.vendor.paid), at.retrain()) == (2, None)


def test_a_job_that_has_ended_does_not_wait_behind_one_that_pauses(at: Retraining) -> None:
    at.world.vendor.paused = 1e9
    first = left_running(at)
    at.add_label()
    at.world.vendor.paused, at.world.pace = 0.0, IMPATIENT
    with pytest.raises(HostedJobWaiting):
        at.retrain(force=True)
    at.world.clock.wait(600.0)
    report = at.retrain()
    assert report is not None
    assert report.model.lineage.training == at.intent()
    with pytest.raises(HostedJobWaiting, match="ftjob-1 is still paused"):
        at.retrain()
    at.world.vendor.made[0].paused = 0.0
    report = at.retrain()
    assert report is not None
    assert report.model.lineage.training == first


def test_a_job_below_the_threshold_that_was_forced_is_collected_by_a_run_that_is_not(at: Retraining) -> None:
    at.retrain()
    at.add_label()
    at.world.pace = IMPATIENT
    with pytest.raises(HostedJobWaiting):
        at.retrain(force=True)
    at.world.pace = Pace()
    report = at.retrain()
    assert report is not None
    assert len(report.model.lineage.label_ids) == 13


def test_a_model_that_is_there_but_was_never_registered_is_registered(at: Retraining) -> None:
    left_running(at)
    at.world.vendor.to_the_end()
    intent = at.intent()
    bench = at.bench()
    assert bench.hosted is not None
    change_row(at.world.jobs, "default", intent, lambda row: replace(row, state="succeeded", model="ft:tiny-base:x"))
    at.add_label()
    report = at.retrain()
    assert report is not None
    assert (report.model.id, report.model.lineage.training) == ("ft:tiny-base:x", intent)


def test_a_create_that_nobody_answered_and_made_nothing_stops_no_training_on_new_rows(at: Retraining) -> None:
    at.world.vendor.faults = {"create": ["lost-before"]}
    clock = at.world.clock

    def die(_seconds: float) -> None:
        raise Died

    with suppress(Died):
        at.retrain(wait=die)
    at.add_label()
    began = clock()
    report = at.retrain()
    assert report is not None
    assert report.model.lineage.training == at.intent()
    assert clock() - began > at.world.pace.settle_seconds - 60
    assert len(at.world.vendor.made) == 1


def test_a_create_that_was_answered_to_nobody_is_found_and_collected_after_the_rows_changed(at: Retraining) -> None:
    at.world.vendor.faults, at.world.vendor.list_lag = {"create": ["lost-after"]}, 100.0

    def die(_seconds: float) -> None:
        raise Died

    with suppress(Died):
        at.retrain(wait=die)
    at.add_label()
    report = at.retrain()
    assert report is not None
    assert report.model.lineage.training != at.intent()
    assert len(at.world.vendor.made) == 1


def test_a_job_of_other_rows_that_turns_up_late_is_cancelled_before_it_is_paid_for(at: Retraining) -> None:
    at.world.pace = Pace(settle_seconds=4.0, first_poll_seconds=0.5, longest_poll_seconds=1.0)
    at.world.vendor.list_lag, at.world.vendor.faults = 5.0, {"create": ["lost-after"]}

    def die(_seconds: float) -> None:
        raise Died

    with suppress(Died):
        at.retrain(wait=die)
    at.world.clock.wait(4.5)  # it should be listed by now, and will be in half a second
    at.add_label()
    report = at.retrain()
    at.world.vendor.to_the_end()
    assert report is not None
    assert len(at.world.vendor.made) == 2
    assert [at.world.vendor.model_of(job) for job in at.world.vendor.paid] == [report.model.id]


def test_a_run_that_slept_while_another_trained_on_newer_rows_takes_that_model(at: Retraining) -> None:
    def overtaken() -> None:
        at.add_label()
        assert at.retrain() is not None

    counter, strikes = itertools.count(), {(4, False): overtaken}
    port = Interrupted(MemoryFineTuning(at.world.vendor), counter, strikes)
    report = at.retrain(vendor=port)
    assert strikes == {}
    assert report is not None
    assert len(report.model.lineage.label_ids) == 13
    at.world.vendor.to_the_end()
    assert len(at.world.vendor.paid) == 1


def test_a_model_that_was_registered_after_the_rows_were_read_is_taken(at: Retraining) -> None:
    """Its job had ended before, so that none is at work; its labels were not consumed yet when these rows were read."""
    intent = left_running(at)
    at.world.clock.wait(600.0)
    glanced(at.world.bench(), intent)
    at.world.clock.wait(1.0)
    at.add_label()
    read = at.rendered()
    at.world.clock.wait(1.0)
    assert collect_jobs(at.bench(), "supervised") is not None
    assert train_or_collect(at.bench(), read).model.lineage.training == intent
    assert len(at.world.vendor.made) == 1


def test_old_rows_are_not_submitted_while_the_job_of_newer_ones_is_at_work(at: Retraining) -> None:
    """A row that was refused once is begun already; its claim is where the other job is seen."""
    old, hosted = at.intent(), at.bench().hosted
    assert hosted is not None
    begin(hosted, old, at.world.training, None)
    at.add_label()
    new = left_running(at)
    assert new != old
    with pytest.raises(HostedJobAhead):
        at.bench().trainer.train(rows(), (), at.folder)
    assert len(at.world.vendor.made) == 1


# ── on the real catalog ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def real(at: Retraining, catalog_engine: Engine) -> Retraining:
    """The same over SQL."""
    at.world.jobs = CatalogHostedJobs(catalog_engine)
    at.trainings = CatalogTrainings(catalog_engine)  # type: ignore[assignment]
    return at


def test_a_death_at_any_call_and_a_label_then_leave_one_paid_job_and_one_model(tmp_path: Path) -> None:
    deaths = 0
    for at_call, after in itertools.product(range(70), (False, True)):
        at = Retraining(tmp_path)

        def die() -> None:
            raise Died

        counter, strikes = itertools.count(), {(at_call, after): die}
        with suppress(Died):
            at.retrain(
                vendor=Interrupted(MemoryFineTuning(at.world.vendor), counter, strikes),
                jobs=Interrupted(at.world.jobs, counter, strikes),
                trainings=Interrupted(at.trainings, counter, strikes),
            )
        deaths += not strikes
        at.add_label()
        at.retrain()
        at.world.vendor.to_the_end()
        [paid] = at.world.vendor.paid
        assert [one.id for one in at.trainings.models("default")] == [at.world.vendor.model_of(paid)], (at_call, after)
    assert deaths > 80


def test_two_runs_that_collect_at_once_register_one_model(real: Retraining) -> None:
    intent = left_running(real)
    real.world.vendor.to_the_end()
    real.add_label()
    with ThreadPoolExecutor(4) as pool:
        every = list(pool.map(lambda _: collect_jobs(real.bench(), "supervised"), range(4)))
    made = {report.model.id for report in every if report is not None}
    assert made == {real.world.vendor.model_of(real.world.vendor.made[0])}
    [model] = real.trainings.models("default")
    assert model.lineage.training == intent
    assert len(real.world.vendor.made) == 1


def test_a_job_that_an_earlier_version_began_is_refused_by_name_when_its_rows_have_changed(
    real: Retraining, catalog_engine: Engine
) -> None:
    intent = left_running(real)
    with catalog_engine.begin() as connection:
        connection.execute(update(t.trainings).values(begun=None))
    assert collect_jobs(real.bench(), "supervised") is None  # with the same rows it is followed as ever
    real.add_label()
    with pytest.raises(HostedJobRuns, match=f"did not keep what its model.*`ratchet hosted cancel {intent}`"):
        train_or_collect(real.bench(), real.rendered())
    assert len(real.world.vendor.made) == 1
    real.today = rows()
    assert train_or_collect(real.bench(), real.rendered()).model.lineage.training == intent


def test_rows_are_kept_byte_for_byte_before_anything_is_sent_and_as_long_as_a_model_may_come(
    real: Retraining, catalog_engine: Engine, tmp_path: Path
) -> None:
    store, retention = FolderArtifacts(tmp_path / "artifacts"), CatalogRetention(catalog_engine)
    whole = keep_lines(FolderArtifacts(tmp_path / "elsewhere"), dataset_lines(rows(), ()))
    seen: list[tuple[bool, bool]] = []

    class Looking(MemoryFineTuning):
        def upload(self, name: str, content: bytes) -> str:
            seen.append((store.exists(whole.artifact), whole.artifact in retention.named_artifacts()))
            return super().upload(name, content)

    real.world.pace = IMPATIENT
    bench = replace(real.bench(vendor=Looking(real.world.vendor)), artifacts=store)
    with pytest.raises(HostedJobWaiting):
        train_or_collect(bench, real.rendered())
    assert seen == [(True, True)]
    assert whole.artifact in retention.named_artifacts()
    [owed] = owed_jobs(real.trainings, real.world.jobs, "default", "supervised")
    kept = Dataset(owed.lineage.dataset or "", owed.lineage.dataset_artifact or "")
    assert (kept, export_dataset(store, kept, tmp_path / "rows.jsonl")) == (whole, 12)
    real.world.pace = Pace()
    report = collect_jobs(replace(real.bench(), artifacts=store), "supervised")
    assert report is not None
    assert report.model.lineage.dataset_artifact == whole.artifact
    assert {whole.artifact, report.model.lineage.record} <= retention.named_artifacts()


def test_rows_of_a_job_that_ended_without_a_model_are_kept_no_longer(
    real: Retraining, catalog_engine: Engine, tmp_path: Path
) -> None:
    store, retention = FolderArtifacts(tmp_path / "artifacts"), CatalogRetention(catalog_engine)
    real.world.pace = IMPATIENT
    intent = real.intent()
    bench = replace(real.bench(), artifacts=store)
    with pytest.raises(HostedJobWaiting):
        train_or_collect(bench, real.rendered())
    [owed] = owed_jobs(real.trainings, real.world.jobs, "default", "supervised")
    assert owed.lineage.dataset_artifact in retention.named_artifacts()
    assert bench.hosted is not None
    assert cancel(bench.hosted, intent).state == "cancelled"
    assert owed.lineage.dataset_artifact not in retention.named_artifacts()
    assert owed_jobs(real.trainings, real.world.jobs, "default", "supervised") == []


def test_a_vendor_is_asked_nothing_where_nothing_is_owed(at: Retraining) -> None:
    assert isinstance(at.world.vendor, Vendor)
    assert collect_jobs(at.bench(), "supervised") is None
    assert at.world.vendor.calls == []
