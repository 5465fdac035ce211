"""A vendor's fine-tuning job as a state machine: what is known of it, what may follow, and what to do next.

    intended ─▶ uploading ─▶ submitting ─▶ validating_files ─▶ queued ─▶ running ─▶ succeeded
       ▲            │            │  ▲                                     ⇅          failed
       │            ▼            ▼  │                                   paused       cancelled
       └──────── retired      unknown      (no answer to "create": looked for by its mark, never created again blindly)

A row is written before the vendor is told anything, and every step is decided from the row alone, so that the next
process takes over from one that died anywhere. Times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tasks.core.errors import HostedJobCancelled, HostedJobFailed, IntegrityFailure, RatchetError, TrainingRetired
from tasks.core.hosted_jobs import ACTIVE, AT_VENDOR, ENDED, HERE, HostedJob, JobError, Pace, RemoteJob, State

_FOUND = frozenset({*ACTIVE, "succeeded", "failed", "cancelled"})
TRANSITIONS: Mapping[str, frozenset[str]] = {
    "intended": _FOUND | {"uploading", "submitting"},  # found: made for the same rows from a catalog that was lost
    "uploading": _FOUND | {"submitting"},
    "submitting": _FOUND | {"intended", "unknown", "retired"},
    "unknown": _FOUND | {"intended"},
    **dict.fromkeys(ACTIVE, _FOUND),
    "succeeded": frozenset(),
    "failed": frozenset({"intended"}),  # when somebody asks for another attempt
    "cancelled": frozenset({"intended"}),
    "retired": frozenset({"intended"}),
}


# ── what to do next ──────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Upload:
    """Send a file."""

    sha: str


@dataclass(frozen=True, slots=True)
class Submit:
    """Create the job, after claiming the row."""


@dataclass(frozen=True, slots=True)
class Reconcile:
    """List the vendor's jobs: one with our mark may exist."""


@dataclass(frozen=True, slots=True)
class Look:
    """Ask how the job is."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing for so long; a nudge may end it."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Finished:
    """There is a model."""


@dataclass(frozen=True, slots=True)
class GivenUp:
    """There will be none, unless somebody asks for another attempt."""

    error: RatchetError


Step = Upload | Submit | Reconcile | Look | Wait | Finished | GivenUp


def next_step(job: HostedJob, now: float, pace: Pace) -> Step:
    """What to do with the row as it stands. A row that says "submitting" is another process's, or a dead one's."""
    if job.state == "succeeded":
        return Finished()
    if job.state in ENDED:
        return GivenUp(ending(job))
    if job.state in ACTIVE:
        due = job.polled_at + poll_delay(job.polls, pace)
        return Look() if now >= due or job.nudged_at > job.polled_at else Wait(due - now)
    if now < job.not_before:
        return Wait(job.not_before - now)
    if job.state in ("submitting", "unknown"):
        return Reconcile()
    missing = next((sha for sha in job.wanted if sha not in job.files), None)
    return Submit() if missing is None else Upload(missing)


def poll_delay(polls: int, pace: Pace) -> float:
    """Seconds from one look to the next.

    >>> [poll_delay(n, Pace()) for n in (0, 1, 2, 3, 50)]
    [5.0, 7.5, 11.25, 16.875, 60.0]
    """
    return min(pace.first_poll_seconds * 1.5 ** min(polls, 40), pace.longest_poll_seconds)


def ending(job: HostedJob) -> RatchetError:
    """The error of a job that ended without a model."""
    told = job.error or JobError("unknown", "the vendor did not say why")
    where = f"Fine-tuning job {job.job or 'of ' + job.intent} on {job.base}"
    again = f"`ratchet train --method {AT_VENDOR[job.method]} --force`"
    here = f"`ratchet train --method {HERE[job.method]}`"
    if job.state == "cancelled":
        return HostedJobCancelled(f"{where} was cancelled. Start another attempt: {again}.", job=job.job)
    if job.state == "retired":
        return TrainingRetired(
            f"{where} cannot be created: {told.message} Train here instead: {here}. If access is back: {again}.",
            vendor_code=told.code,
        )
    return HostedJobFailed(
        f"{where} failed: {told.code}: {told.message}"
        + (f" (in {told.param})" if told.param else "")
        + f". No label was consumed. Mend what it names, then {again}, or train here: {here}.",
        job=job.job,
        vendor_code=told.code,
        vendor_message=told.message,
        param=told.param,
    )


# ── what follows from what was seen ──────────────────────────────────────────────────────────────────────────────────


def moved(job: HostedJob, state: State, **changes: object) -> HostedJob:
    """The row in another state. Raises IntegrityFailure for a step that the machine does not have."""
    if state != job.state and state not in TRANSITIONS[job.state]:
        raise IntegrityFailure(f"Hosted job {job.intent} is {job.state} and cannot become {state}.")
    return replace(job, state=state, **changes)  # type: ignore[arg-type]


def uploading(job: HostedJob) -> HostedJob:
    """A file is about to be sent."""
    return moved(job, "uploading") if job.state == "intended" else job


def uploaded(job: HostedJob, sha: str, file: str) -> HostedJob:
    """The vendor has a file; the first id that was noted stays."""
    return replace(job, files={sha: file, **job.files})


def without_files(job: HostedJob, gone: Iterable[str]) -> HostedJob:
    """The vendor has these files no longer."""
    lost = set(gone)
    return replace(job, files={sha: file for sha, file in job.files.items() if file not in lost})


def claimed(job: HostedJob, owner: str, now: float) -> HostedJob:
    """The right to send "create" once; whoever finds the row already claimed does not get it."""
    if job.state not in ("intended", "uploading") or not job.whole or now < job.not_before:
        return job
    return moved(job, "submitting", owner=owner, creates=job.creates + 1, attempted_at=now, error=None)


def doubtful(job: HostedJob, owner: str) -> HostedJob:
    """No answer came to "create"."""
    return moved(job, "unknown") if _is_mine(job, owner) else job


def refused(job: HostedJob, owner: str, error: JobError, *, retired: bool, not_before: float = 0.0) -> HostedJob:
    """The vendor said no: no job was created, and a later run may try again."""
    if not _is_mine(job, owner):
        return job
    changes = {"error": error, "not_before": not_before, "owner": None, "creates": job.creates - 1}
    return moved(job, "retired" if retired else "intended", **changes)


def not_found(job: HostedJob, looked_at: float, pace: Pace) -> HostedJob:
    """No listed job carries the mark. Only a look that began after the list had time to settle proves that none is."""
    if job.state not in ("submitting", "unknown"):
        return job
    settled = (job.attempted_at or 0.0) + pace.settle_seconds
    if looked_at >= settled:
        return moved(moved(job, "unknown"), "intended", not_before=0.0, owner=None)
    return replace(job, not_before=min(settled, looked_at + max(pace.first_poll_seconds, pace.settle_seconds / 8)))


def found(job: HostedJob, remote: RemoteJob, now: float) -> HostedJob:
    """The vendor's job is ours. A row that already names another keeps it."""
    if job.job not in (None, remote.id) or job.state in ENDED:
        return job
    return _as_told(replace(job, job=remote.id, owner=None, not_before=0.0, polls=0, polled_at=now), remote)


def observed(job: HostedJob, remote: RemoteJob, now: float) -> HostedJob:
    """The row after a look. What has ended stays ended, whatever an old answer says."""
    if job.job != remote.id or job.state not in ACTIVE:
        return job
    news = state_of(remote) != job.state
    return _as_told(replace(job, polls=0 if news else job.polls + 1, polled_at=now), remote)


def unseen(job: HostedJob, now: float) -> HostedJob:
    """A look got no answer; the next one waits longer."""
    return replace(job, polls=job.polls + 1, polled_at=now) if job.state in ACTIVE else job


def nudged(job: HostedJob, webhook: str, now: float) -> HostedJob:
    """A webhook says that there is news. What the news is, only a look says; the same webhook counts once."""
    if webhook in job.webhooks:
        return job
    return replace(job, nudged_at=now, webhooks=(*job.webhooks[-15:], webhook))


def again(job: HostedJob, fresh: HostedJob, spent_usd: float) -> HostedJob:
    """Another attempt at what ended without a model. spent_usd: what the former ones may have cost."""
    files = {sha: file for sha, file in job.files.items() if sha in fresh.wanted}
    return replace(
        moved(job, "intended"),
        attempt=job.attempt + 1,
        job=None,
        error=None,
        files=files,
        creates=0,
        attempted_at=None,
        not_before=0.0,
        trained_tokens=None,
        last_event=None,
        begun_at=fresh.begun_at,
        tokens=fresh.tokens,
        cost_usd=fresh.cost_usd,
        wanted=fresh.wanted,
        spent_usd=spent_usd,
        beside=fresh.beside,
    )


def state_of(remote: RemoteJob) -> State:
    """The vendor's word as a state. A word that nobody documented is read as "running": it is looked at again.

    >>> state_of(RemoteJob("j", "pausing")), state_of(RemoteJob("j", "canceled"))
    ('running', 'cancelled')
    """
    word = "cancelled" if remote.status == "canceled" else remote.status
    for state in ("validating_files", "queued", "running", "paused", "succeeded", "failed", "cancelled"):
        if word == state:
            return state
    return "running"


def ours(job: HostedJob, listed: Iterable[RemoteJob]) -> list[RemoteJob]:
    """The listed jobs that were created for this row, the one to keep first.

    By the mark; where a server keeps no metadata, by our own training file and the time.
    """
    file = job.files.get(job.wanted[0])
    since = (job.attempted_at or job.begun_at) - 300
    alike = [
        one
        for one in listed
        if one.mark == job.mark or (one.mark is None and one.training_file == file and one.created_at >= since)
    ]
    return sorted(alike, key=lambda one: (_WORTH.index(state_of(one)), one.created_at, one.id))


_WORTH: Sequence[str] = ("succeeded", "running", "paused", "queued", "validating_files", "failed", "cancelled")


def _as_told(job: HostedJob, remote: RemoteJob) -> HostedJob:
    state = state_of(remote)
    if state == "succeeded" and not remote.model:
        state = "running"  # the name follows in a moment
    return moved(
        job,
        state,
        model=remote.model if state == "succeeded" else job.model,
        error=remote.error if state == "failed" else None,
        trained_tokens=remote.trained_tokens if remote.trained_tokens is not None else job.trained_tokens,
    )


def _is_mine(job: HostedJob, owner: str) -> bool:
    return job.state == "submitting" and job.owner == owner
