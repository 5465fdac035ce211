"""Steps that collect a hosted job which another run began: it is paid for, whatever has changed since."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from tasks.core.errors import HostedJobAhead, HostedJobRuns
from tasks.core.hosted_collecting import owed
from tasks.core.hosted_jobs import AT_VENDOR, EARLY, HostedJob, Method
from tasks.core.ports import Progress, TrainedModel
from tasks.hosted_following import followed, glanced, settled
from tasks.hosted_trainer import HostedTrainer, trained_model
from tasks.hosted_training import HostedBench, HostedJobs
from tasks.preferences import PreferenceBench, RenderedOpinions, learn_and_register
from tasks.training import (
    Lineage,
    RenderedRows,
    TrainingBench,
    TrainingCatalog,
    TrainingReport,
)
from tasks.training_runs import train_and_register, trained_once


@dataclass(frozen=True, slots=True)
class Owed:
    """A job to collect, and what its model is to be registered with."""

    job: HostedJob
    lineage: Lineage


def owed_jobs(trainings: TrainingCatalog, jobs: HostedJobs, assistant: str, method: Method) -> list[Owed]:
    """The jobs whose models nobody registered, the first to collect first. Asks no vendor.

    Without those that an earlier version began, which kept nothing to register a model with.
    """
    rows = jobs.jobs(assistant)
    registered = {job.intent for job in rows if trainings.made_by(assistant, job.intent) is not None}
    begun = ((job, trainings.begun(assistant, job.intent)) for job in owed(rows, method, registered))
    return [Owed(job, lineage) for job, lineage in begun if lineage is not None]


def collect_jobs(bench: TrainingBench, method: Method, progress: Progress | None = None) -> TrainingReport | None:
    """The model of the first job that is owed, once it has ended; None where there is none. Pays for nothing.

    Raises as following a job does; its labels are consumed only when it has made a model.
    """
    hosted = _vendor(bench)
    every = owed_jobs(bench.trainings, hosted.jobs, bench.assistant, method)
    if len(every) > 1:  # one that has ended does not wait behind one that goes on
        for one in every:
            glanced(hosted, one.job.intent)
        every = owed_jobs(bench.trainings, hosted.jobs, bench.assistant, method)
    made = (_collected(bench, one.lineage, progress) for one in every)
    return next((report for report in made if report is not None), None)


def train_or_collect(bench: TrainingBench, rows: RenderedRows, progress: Progress | None = None) -> TrainingReport:
    """The model of these rows, trained at the vendor; or that of a job which another run has begun meanwhile.

    Raises HostedJobRuns where that one cannot be collected.
    """
    trainer = _since(bench.trainer, rows.read_at)
    fresh = replace(bench, trainer=trainer)
    return _or_collected(fresh, trainer, lambda: train_and_register(fresh, rows, progress), progress)


def learn_or_collect(
    bench: PreferenceBench, pairs: RenderedOpinions, progress: Progress | None = None
) -> TrainingReport:
    """The same of preferences."""
    trainer = _since(bench.trainer, pairs.read_at)
    fresh = replace(bench, trainer=trainer)
    return _or_collected(fresh.training, trainer, lambda: learn_and_register(fresh, pairs, progress), progress)


def _since(trainer: object, read_at: datetime | None) -> HostedTrainer:
    assert isinstance(trainer, HostedTrainer)  # of a bench at the vendor
    return replace(trainer, bench=replace(trainer.bench, read_at=read_at.timestamp() if read_at else None))


def _or_collected(
    bench: TrainingBench, trainer: HostedTrainer, train: Callable[[], TrainingReport], progress: Progress | None
) -> TrainingReport:
    method = trainer.bench.plan.method
    while True:
        if not trainer.another and (report := _overtaken(bench, trainer.bench, method, progress)):
            return report
        try:
            return train()
        except HostedJobAhead as ahead:
            report = _collected(bench, _lineage(bench, str(ahead.values["intent"])), progress)
        if report is not None:
            return report


def _overtaken(
    bench: TrainingBench, hosted: HostedBench, method: Method, progress: Progress | None
) -> TrainingReport | None:
    """What another run has trained since the rows were read, or begun: these rows hold much of the same."""
    if (report := collect_jobs(bench, method, progress)) or hosted.read_at is None:
        return report
    mine = {job.intent for job in hosted.jobs.jobs(bench.assistant) if job.method == method and not job.beside}
    models = (one for one in bench.trainings.models(bench.assistant) if one.lineage.training in mine)
    newest = next(models, None)
    if newest is None or datetime.fromisoformat(newest.created_at).timestamp() <= hosted.read_at:
        return None
    return TrainingReport(newest, newest.lineage.rows, 0.0)


def _collected(bench: TrainingBench, lineage: Lineage, progress: Progress | None) -> TrainingReport | None:
    """None where its job was never created: nothing was paid."""
    hosted, begun = _vendor(bench), lineage.training
    known = bench.trainings.made_by(bench.assistant, begun)
    if known is None and settled(hosted, begun, progress).state in EARLY:
        return None

    def made() -> TrainedModel:
        since = hosted.now()
        job = followed(hosted, begun, progress)
        return trained_model(job, lineage.rows, hosted.now() - since, hosted.plan.price)

    return trained_once(bench, lineage, None, made)


def _lineage(bench: TrainingBench, intent: str) -> Lineage:
    lineage = bench.trainings.begun(bench.assistant, intent)
    if lineage is not None:
        return lineage
    job = _vendor(bench).jobs.job(bench.assistant, intent)
    method = AT_VENDOR[job.method] if job else "openai"
    raise HostedJobRuns(
        f"Hosted job {job.job if job and job.job else 'of ' + intent} is at work on other rows than today's, and an "
        "earlier version of ratchet began it, which did not keep what its model is registered with: it cannot be "
        f"collected, and another would be paid beside it. End it: `ratchet hosted cancel {intent}`; or pay for both: "
        f"`ratchet train --method {method} --force`.",
        intent=intent,
    )


def _vendor(bench: TrainingBench) -> HostedBench:
    assert bench.hosted is not None  # a bench at the vendor
    return bench.hosted
