"""What is done to hosted jobs beside following them: nudge, cancel, delete files, warn of and keep a dying model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Protocol

from pydantic import JsonValue

from tasks.core.answers import Answer
from tasks.core.errors import NotFound, OutcomeUnknown, UsageError
from tasks.core.hosted_jobs import ACTIVE, ENDED, HostedJob
from tasks.core.hosted_retirement import Alarm
from tasks.core.hosted_training import found, moved, not_found, nudged, observed, ours
from tasks.core.labels import Label, golden_set
from tasks.core.ports import ArtifactStore
from tasks.core.releases import ReleaseManifest, canonical_json
from tasks.core.webhook_signatures import verified
from tasks.hosted_training import HostedBench, HostedJobs, change_row
from tasks.outbox import MODEL_RETIRING, telling_key

KIND = "golden-answers"


class Reminders(Protocol):
    """The part of the outbox that notices are put into by themselves, where nothing else changes with them."""

    def note(self, assistant: str, topic: str, key: str, payload: Mapping[str, JsonValue]) -> bool:
        """Commits a notice to be told; whether there was none under this key, told or not."""


def note_alarms(outbox: Reminders, assistant: str, due: Sequence[Alarm]) -> tuple[Alarm, ...]:
    """The alarms that are to be told now: once for each model and each of 90, 30, 7 days and the day it stops."""
    return tuple(alarm for alarm in due if _noted(outbox, assistant, alarm))


def _noted(outbox: Reminders, assistant: str, alarm: Alarm) -> bool:
    # No days left: a notice may wait, and the date stays true.
    about: dict[str, JsonValue] = {
        "model": alarm.model,
        "stops": alarm.stops.isoformat(),
        "within_days": alarm.within_days,
    }
    return outbox.note(assistant, MODEL_RETIRING, telling_key(assistant, MODEL_RETIRING, [alarm.key]), about)


def nudge(
    jobs: HostedJobs, secret: str | Sequence[str], headers: Mapping[str, str], body: bytes, now: float
) -> HostedJob | None:
    """The row a signed `fine_tuning.job.*` webhook is about, to be looked at soon; None when it is about none.

    Believes nothing the webhook says but the job's id. Raises NotAllowed for a signature that is wrong or old, and
    UsageError for a body that cannot be read.
    """
    webhook = verified(secret, headers, body, now)
    try:
        event = json.loads(body)
        kind, job = str(event["type"]), str(event["data"]["id"])
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"The webhook {webhook} has no type and no data.id: {error}.") from error
    row = jobs.named(job) if kind.startswith("fine_tuning.job.") else None
    if row is None:
        return None
    return change_row(jobs, row.assistant, row.intent, lambda one: nudged(one, webhook, now))


def cancel(bench: HostedBench, intent: str) -> HostedJob:
    """The row after its job was ended, at the vendor too. One that has ended stays as it is.

    Raises OutcomeUnknown while nobody can know whether there is a job.
    """
    job = change_row(bench.jobs, bench.assistant, intent, _cancelled_if_early)
    if job.state in ("submitting", "unknown"):
        job = _found_or_not(bench, job)
    if job.state not in ACTIVE or job.job is None:
        return job
    try:
        remote = bench.vendor.cancel(job.job)
    except NotFound:
        return change_row(bench.jobs, bench.assistant, intent, lambda row: moved(row, "cancelled"))
    return change_row(bench.jobs, bench.assistant, intent, lambda row: observed(row, remote, bench.now()))


def delete_files(bench: HostedBench, intent: str) -> tuple[str, ...]:
    """The ids of the files deleted at the vendor: all of this row's that no job still needs.

    Raises UsageError while the row's own job may need them.
    """
    job = bench.jobs.job(bench.assistant, intent)
    if job is None:
        raise NotFound(f"There is no hosted job {intent} of {bench.assistant}. `ratchet hosted jobs` lists them.")
    if job.state not in ENDED:
        raise UsageError(
            f"Hosted job {intent} is {job.state} and needs its files. Wait for it, or end it: "
            f"`ratchet hosted cancel {intent}`."
        )
    needed = {file for one in bench.jobs.jobs(bench.assistant) if one.state not in ENDED for file in one.files.values()}
    gone = tuple(sorted(set(job.files.values()) - needed))
    for file in gone:
        bench.vendor.delete_file(file)
    change_row(
        bench.jobs,
        bench.assistant,
        intent,
        lambda row: replace(row, files={sha: file for sha, file in row.files.items() if file not in gone}),
    )
    return gone


def save_golden_answers(
    jobs: HostedJobs,
    manifest: ReleaseManifest,
    labels: Sequence[Label],
    ask: Callable[[Sequence[str]], Sequence[Answer]],
    artifacts: ArtifactStore,
    folder: Path,
) -> str:
    """Digest of the artifact with what the release answers to the golden questions, noted, and at the model's job too.

    labels: the golden ones. ask: answers as the release. folder: written anew, to copy from. Raises UsageError without
    golden labels, and what asking raises.
    """
    golden = golden_set(labels)
    if golden is None:
        raise UsageError("There is no golden set, so there are no golden answers to keep.")
    asked = sorted((one for one in labels if one.id in golden.label_ids), key=lambda one: one.id)
    answers = ask([one.question for one in asked])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    lines = [
        canonical_json({"label": one.id, "ideal": one.answer, "answer": asdict(said)})
        for one, said in zip(asked, answers, strict=True)
    ]
    (folder / "answers.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    head = {"kind": KIND, "release": manifest.id, "manifest": manifest.model_dump(mode="json"), "golden_set": golden.id}
    (folder / "manifest.json").write_text(canonical_json(head) + "\n", encoding="utf-8")
    digest = artifacts.put(folder)
    jobs.note_answers(manifest.assistant, manifest.id, digest)
    for job in jobs.jobs(manifest.assistant):
        if job.model == manifest.model.base:
            change_row(jobs, job.assistant, job.intent, lambda row: replace(row, golden_answers=digest))
    return digest


def _cancelled_if_early(row: HostedJob) -> HostedJob:
    return moved(row, "cancelled") if row.state in ("intended", "uploading") else row


def _found_or_not(bench: HostedBench, job: HostedJob) -> HostedJob:
    looked_at = bench.now()
    listed = ours(job, bench.vendor.jobs(job.mark, job.begun_at - 24 * 3600.0))
    if listed:
        return change_row(bench.jobs, job.assistant, job.intent, lambda row: found(row, listed[0], bench.now()))
    seen = change_row(bench.jobs, job.assistant, job.intent, lambda row: not_found(row, looked_at, bench.plan.pace))
    if seen.state in ("submitting", "unknown"):
        raise OutcomeUnknown(
            f"Whether {bench.vendor.name} created a job for {job.intent} is not known yet. It would be listed within "
            f"{bench.plan.pace.settle_seconds:.0f} s. Cancel again then.",
        )
    return change_row(bench.jobs, job.assistant, job.intent, _cancelled_if_early)
