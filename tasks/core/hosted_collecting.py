"""Which hosted job has to be collected before another is paid for: it is paid, and its model is nobody's yet."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from tasks.core.errors import HostedJobAhead
from tasks.core.hosted_jobs import AT_WORK, EARLY, HostedJob, Method


def is_owed(job: HostedJob) -> bool:
    """Whether there is a model, or may come to be one: "create" was sent, and nobody refused or ended it."""
    return job.state in AT_WORK or job.state == "succeeded" or may_turn_up(job)


def needs_rows(job: HostedJob | None, *, running: bool) -> bool:
    """Whether the rows that were kept for a training have to stay. job: None before there is one. running: it is."""
    if job is None or job.state in EARLY - AT_WORK:
        return running or (job is not None and may_turn_up(job))
    return is_owed(job)


def may_turn_up(job: HostedJob) -> bool:
    """Whether "create" was sent, and no job found by the time one should have been listed."""
    return job.state in EARLY - AT_WORK and job.creates > 0


def owed(jobs: Iterable[HostedJob], method: Method, registered: Collection[str]) -> list[HostedJob]:
    """The jobs to collect, in this order: those with a model, those at work, those that may yet turn up; oldest first.

    registered: intents whose models are.
    """
    mine = (job for job in jobs if job.method == method and job.intent not in registered and is_owed(job))
    return sorted(mine, key=lambda job: (job.state != "succeeded", job.state not in AT_WORK, job.begun_at))


def ahead_of(job: HostedJob, others: Sequence[HostedJob], since: float) -> HostedJob | None:
    """The job that forbids to pay for this one: one at work, or one that has made a model since then.

    Jobs that somebody asked for beside others stand in nobody's way, and nothing stands in theirs. A row that is at
    work itself is paid for already.
    """
    if job.beside or job.state in AT_WORK:
        return None
    rivals = [one for one in others if one.method == job.method and not one.beside]
    return next((one for one in rivals if one.state in AT_WORK or _overtook(one, since)), None)


def require_first(job: HostedJob, others: Sequence[HostedJob], since: float) -> None:
    """Raises HostedJobAhead where another comes first."""
    first = ahead_of(job, others, since)
    if first is not None:
        raise HostedJobAhead(
            f"Hosted job {first.job or 'of ' + first.intent} is {first.state}, and is collected before another is "
            "paid for. Run again.",
            intent=first.intent,
        )


def collected_sentence(job: str, trained_on: str, *, new: str, then: int, now: int) -> str:
    """What is said of a collected job. then, now: the snapshot it was trained on, and the newest.

    >>> collected_sentence("ftjob-1", "8 labels", new="new labels: 1", then=2, now=2)
    'job ftjob-1 was begun before, on 8 labels and snapshot 2, and is collected: nothing more is paid. Since then, and \
counting towards the next training, new labels: 1.'
    """
    moved = f" The documents are at snapshot {now} now." if now != then else ""
    return (
        f"job {job} was begun before, on {trained_on} and snapshot {then}, and is collected: nothing more is paid. "
        f"Since then, and counting towards the next training, {new}.{moved}"
    )


def _overtook(job: HostedJob, since: float) -> bool:
    return job.state == "succeeded" and job.polled_at > since
