"""From a row to one job at the vendor: upload once, look for a job before creating one, and create it once."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from tasks.core.errors import (
    CannotRetry,
    HostedJobAhead,
    HostedUnavailable,
    NotFound,
    OutcomeUnknown,
    RatchetError,
    TrainingRetired,
)
from tasks.core.hosted_collecting import may_turn_up
from tasks.core.hosted_files import HostedFile
from tasks.core.hosted_jobs import ACTIVE, HostedJob, JobError, JobRequest, RemoteJob
from tasks.core.hosted_training import (
    claimed,
    doubtful,
    found,
    not_found,
    ours,
    poll_delay,
    refused,
    state_of,
    uploaded,
    uploading,
    without_files,
)
from tasks.hosted_run import HostedRun, asked_pause

MAX_REFUSALS = 5  # of "create" in one run, by a vendor that may be willing later
DAY = 24 * 3600.0


def upload(run: HostedRun, file: HostedFile) -> None:
    """Once per content: a file of an earlier row, or one that a run uploaded and could not note, is taken."""
    run.change(uploading)
    content, sha, vendor = file.content, file.sha, run.bench.vendor
    name = f"ratchet-{sha[:32]}.jsonl"

    def uploaded_once() -> str:
        known = run.bench.jobs.file(sha)
        if known is not None and vendor.has_file(known):
            return known
        return vendor.find_file(name, len(content)) or vendor.upload(name, content)

    there = run.patiently(uploaded_once)
    if there is not None:
        run.change(lambda row: uploaded(row, sha, there))


def submit(run: HostedRun, job: HostedJob) -> None:
    """Claims the row and creates its job, unless one is there. Raises what no waiting helps against.

    Raises HostedJobAhead where another run's job on other rows is to be collected first.
    """
    if run.unanswered >= run.pace.creates:
        raise HostedUnavailable(
            f"{run.bench.vendor.name} was asked {run.unanswered} times to create a fine-tuning job and never said "
            "whether it had; none exists. Run again later: it is looked for before it is created.",
            creates=run.unanswered,
        )
    if adopted(run, job) is not False:  # made for the same rows by a catalog that was lost, or by another one
        return
    claim = run.taking(lambda row: claimed(row, run.owner, run.bench.now()))
    if claim.state != "submitting" or claim.owner != run.owner:
        return
    if run.bench.now() - (claim.attempted_at or 0.0) > run.pace.settle_seconds / 4:
        run.change(lambda row: doubtful(row, run.owner))  # this process slept: others may have gone on
        return
    remote = _created(run, claim)
    if remote is not None:  # a row that names another job by now keeps that, and this one is cancelled as its twin
        _take(run, remote)


def reconcile(run: HostedRun, job: HostedJob) -> None:
    """Looks for the job that may have been created, and notes that there is none once that is sure."""
    looked_at = run.bench.now()
    if adopted(run, job) is False:
        run.change(lambda row: not_found(row, looked_at, run.pace))


def cancel_twins(run: HostedRun, job: HostedJob) -> None:
    """A "create" that was given up may have been late: its job is ended before it is paid for.

    So is that of other rows, which nobody comes back to once they have changed.
    """
    given_up = [job] if job.creates > 1 else []
    if not job.beside:
        others = run.bench.jobs.jobs(job.assistant)
        given_up += [one for one in others if one.method == job.method and may_turn_up(one) and not one.beside]
    for one in given_up:
        try:
            listed = ours(one, run.bench.vendor.jobs(one.mark, _since(one)))
        except HostedUnavailable:
            return  # looked for again at the next look
        _cancel_all(run, (late for late in listed if late.id != job.job))


def _created(run: HostedRun, job: HostedJob) -> RemoteJob | None:
    """The new job, or None when the row says what to do instead."""
    try:
        return run.bench.vendor.create(_request(run, job))
    except OutcomeUnknown:
        run.unanswered += 1
        run.change(lambda row: doubtful(row, run.owner))
    except HostedUnavailable as error:
        pause = asked_pause(error) or poll_delay(run.refusals, run.pace)
        run.refusals += 1
        _refuse(run, error, not_before=run.bench.now() + pause)
        if run.refusals > MAX_REFUSALS:
            raise
    except CannotRetry as error:
        _refuse(run, error)
        if isinstance(error, NotFound) or error.values.get("param") in ("training_file", "validation_file"):
            gone = [file for file in job.files.values() if not run.bench.vendor.has_file(file)]
            run.change(lambda row: without_files(row, gone))
        raise
    return None


def adopted(run: HostedRun, job: HostedJob) -> bool | None:
    """Whether a listed job was ours and the row now names it; None when there was no list."""
    listed = run.patiently(lambda: ours(job, run.bench.vendor.jobs(job.mark, _since(job))))
    if listed is None:
        return None
    if listed:
        kept, *twins = listed
        _cancel_all(run, twins)
        _take(run, kept)
    return bool(listed)


def _take(run: HostedRun, remote: RemoteJob) -> None:
    """Notes that it is ours. One that came too late, when another run's is at work, is ended: HostedJobAhead."""
    try:
        run.taking(lambda row: found(row, remote, run.bench.now()))
    except HostedJobAhead:
        _cancel_all(run, [remote])
        raise


def _cancel_all(run: HostedRun, jobs: Iterable[RemoteJob]) -> None:
    """What cannot be cancelled now is found again at the next look."""
    with suppress(HostedUnavailable):
        for one in jobs:
            if state_of(one) in ACTIVE:
                run.bench.vendor.cancel(one.id)


def _request(run: HostedRun, job: HostedJob) -> JobRequest:
    plan, files = run.bench.plan, [job.files[sha] for sha in job.wanted]
    return JobRequest(
        base=job.base,
        method=job.method,
        training_file=files[0],
        validation_file=files[1] if len(files) > 1 else None,
        epochs=plan.epochs,
        seed=plan.seed,
        mark=job.mark,
        suffix=f"ratchet-{run.bench.assistant}"[:40],
        beta=plan.beta,
    )


def _refuse(run: HostedRun, error: RatchetError, *, not_before: float = 0.0) -> None:
    told = error.values
    code, param = str(told.get("vendor_code") or error.code), told.get("param")
    why = JobError(code, str(told.get("vendor_message") or error.message), str(param) if param else None)
    retired = isinstance(error, TrainingRetired)
    run.change(lambda row: refused(row, run.owner, why, retired=retired, not_before=not_before))


def _since(job: HostedJob) -> float:
    """Jobs with our mark are not older than the row's attempt, give or take clocks; a lost catalog's may be."""
    return job.begun_at - 30 * DAY if job.creates == 0 else (job.attempted_at or job.begun_at) - DAY
