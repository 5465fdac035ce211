"""A hosted training from its row to its end.

Every step reads the row, asks `tasks.core.hosted_training` what to do, does that one thing, and writes down what it
saw. Nothing else is remembered, so a run that ends anywhere is taken up by the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from tasks.core.errors import HostedJobAhead, HostedJobWaiting, HostedUnavailable, NotFound, RateLimited
from tasks.core.hosted_collecting import may_turn_up
from tasks.core.hosted_files import HostedFile
from tasks.core.hosted_jobs import ACTIVE, HostedJob
from tasks.core.hosted_training import (
    GivenUp,
    Look,
    Reconcile,
    Submit,
    Upload,
    Wait,
    next_step,
    observed,
    poll_delay,
    unseen,
)
from tasks.core.ports import Progress
from tasks.hosted_run import HostedRun
from tasks.hosted_submission import adopted, cancel_twins, reconcile, submit, upload
from tasks.hosted_training import HostedBench, begin

NUDGE_SECONDS = 5.0  # how long a webhook's nudge can go unnoticed


def tune(
    bench: HostedBench,
    intent: str,
    training: HostedFile,
    validation: HostedFile | None = None,
    progress: Progress | None = None,
    *,
    another: bool = False,
) -> HostedJob:
    """The succeeded job of this intent: made now, taken up where a run left it, or found.

    another: start a new attempt at one that ended without a model. Raises, besides what the vendor refuses with,
    InvalidTrainingFile, BudgetExceeded, TrainingRetired, HostedJobFailed, HostedJobCancelled, HostedJobWaiting and
    HostedJobAhead.
    """
    run = HostedRun(bench, intent)
    begin(bench, intent, training, validation, another=another)
    files = {one.sha: one for one in (training, validation) if one is not None}
    return _followed(run, files, _Teller(progress))


def glanced(bench: HostedBench, intent: str) -> None:
    """One look at a job at work, whoever follows it. What the look finds wrong is told where the job is followed."""
    run = HostedRun(bench, intent)
    job = run.row()
    if job.state in ACTIVE:
        with suppress(NotFound):
            _look(run, job, _Teller(None))


def settled(bench: HostedBench, intent: str, progress: Progress | None = None) -> HostedJob:
    """The row of another run once it is known whether its job was created. Creates none.

    An early state: there is none.
    """
    run, tell = HostedRun(bench, intent), _Teller(progress)
    if may_turn_up(row := run.row()):
        adopted(run, row)
    while (job := run.row()).state in ("submitting", "unknown"):
        _step(run, job, {}, tell)
    return job


def followed(bench: HostedBench, intent: str, progress: Progress | None = None) -> HostedJob:
    """The succeeded job of an intent that is settled. Creates none. Raises as `tune`, and HostedJobAhead where somebody
    has begun another attempt meanwhile.
    """
    return _followed(HostedRun(bench, intent), {}, _Teller(progress))


class _Teller:
    """Says each state once, and each event of the vendor."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._told = ""

    def state(self, job: HostedJob) -> None:
        if job.state != self._told and self._progress:
            self._progress(f"hosted training: {job.job or job.intent} is {job.state}", 0, 1)
        self._told = job.state

    def events(self, run: HostedRun, job: HostedJob) -> None:
        """Those that no run has told yet; noted after they were told."""
        if job.job is None:
            return
        try:
            news = run.bench.vendor.events(job.job, job.last_event)
        except HostedUnavailable:
            return  # told at the next look
        for event in news:
            if self._progress:
                self._progress(f"hosted training: {event.message}", *event.progress)
        if news:
            run.change(lambda row: replace(row, last_event=news[-1].id))


def _followed(run: HostedRun, files: Mapping[str, HostedFile], tell: _Teller) -> HostedJob:
    """files: what may be uploaded; without any, nothing is created either."""
    while (job := run.row()).state != "succeeded":
        _step(run, job, files, tell)
    tell.state(job)
    cancel_twins(run, job)
    return _with_checkpoints(run, job, tell)


def _step(run: HostedRun, job: HostedJob, files: Mapping[str, HostedFile], tell: _Teller) -> None:
    tell.state(job)
    match next_step(job, run.bench.now(), run.pace):
        case GivenUp(error):
            cancel_twins(run, job)
            raise error
        case Upload() | Submit() if not files:
            raise HostedJobAhead(f"Another attempt at {job.intent} has begun meanwhile. Run again.", intent=job.intent)
        case Upload(sha):
            upload(run, files[sha])
        case Submit():
            submit(run, job)
        case Reconcile():
            reconcile(run, job)
        case Look():
            _look(run, job, tell)
        case Wait(seconds):
            _wait(run, job, seconds)


def _look(run: HostedRun, job: HostedJob, tell: _Teller) -> None:
    assert job.job is not None  # an active row names its job
    try:
        remote = run.bench.vendor.job(job.job)
    except HostedUnavailable as error:
        run.change(lambda row: unseen(row, run.bench.now()))
        run.lose_patience(error, poll_delay(job.polls + 1, run.pace))
        return
    except NotFound as error:
        _unknown_there(run, job, error)
        return
    run.answered()
    tell.events(run, job)
    seen = run.change(lambda row: observed(row, remote, run.bench.now()))
    if seen.state in ACTIVE:
        cancel_twins(run, seen)


def _unknown_there(run: HostedRun, job: HostedJob, error: NotFound) -> None:
    """A new job may not be known everywhere yet. Later it is no reason to take a paid job for lost."""
    if run.bench.now() < (job.attempted_at or 0.0) + run.pace.settle_seconds:
        run.change(lambda row: unseen(row, run.bench.now()))
        return
    raise NotFound(
        f"{run.bench.vendor.name} does not know job {job.job} any more. Check the key's project and the base URL; to "
        f"give the job up: `ratchet hosted cancel {job.intent}`.",
        job=job.job,
    ) from error


def _wait(run: HostedRun, job: HostedJob, seconds: float) -> None:
    waited = run.bench.now() - run.began
    if job.state in ACTIVE and waited > run.pace.longest_wait_seconds:
        raise HostedJobWaiting(
            f"Fine-tuning job {job.job} is still {job.state} after {waited / 3600:.1f} h of waiting. It goes on at "
            f"{run.bench.vendor.name}; run again to go on waiting, or cancel it: `ratchet hosted cancel {job.intent}`.",
            job=job.job,
            state=job.state,
        )
    if job.state not in ACTIVE and seconds > run.pace.outage_seconds:
        raise RateLimited(
            f"{run.bench.vendor.name} asked not to be asked again for another {seconds:,.0f} s. Run again then.",
            wait_seconds=seconds,
        )
    run.bench.wait(min(seconds, NUDGE_SECONDS))


def _with_checkpoints(run: HostedRun, job: HostedJob, tell: _Teller) -> HostedJob:
    """The row with the vendor's checkpoints and last numbers, asked for once; without them if it cannot say now."""
    if job.metrics or job.job is None:
        return job
    try:
        tell.events(run, job)
        kept = tuple(run.bench.vendor.checkpoints(job.job))
    except HostedUnavailable:
        return job
    last = dict(kept[-1].metrics) if kept else {}
    if job.trained_tokens is not None:
        last["trained_tokens"] = float(job.trained_tokens)
    return run.change(lambda row: replace(row, checkpoints=kept, metrics={**row.metrics, **last}))
