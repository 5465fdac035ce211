"""What `ratchet hosted` shows and does: a vendor's jobs, their files, and what is lost when a model is retired."""

from __future__ import annotations

from datetime import UTC, date, datetime

from flows.terminal import Shown, table
from infra.workbench import Workbench
from tasks import hosted_aftercare
from tasks.answering import answer
from tasks.core.errors import NotFound
from tasks.core.hosted_jobs import HostedJob
from tasks.core.hosted_retirement import Alarm, alarms, outlook, proposal, retirement_of, vendor_of


def retirements(bench: Workbench, today: date | None = None, *, assistant: str | None = None) -> list[Alarm]:
    """An alarm per hosted model of this assistant that stops within 90 days, or has stopped. Asks no vendor.

    assistant: another one of the same catalog, whose models are at the vendor of these settings.
    """
    name = assistant or bench.assistant
    made = {model.ref.base for model in bench.trainings.models(name) if model.ref.kind == "hosted"}
    standing = bench.releases.standing(name)
    if standing.release is not None:
        served = bench.releases.release(name, standing.release).manifest.model
        made |= {served.base} if served.kind == "hosted" else set()
    return alarms(made, vendor_of(bench.settings.hosted_base_url), today or datetime.now(UTC).date())


def show_hosted_jobs(bench: Workbench) -> Shown:
    """Every job with its state and cost, and the alarms."""
    jobs, due = bench.hosted_jobs.jobs(bench.assistant), retirements(bench)
    vendor = vendor_of(bench.settings.hosted_base_url)
    base = bench.settings.hosted_base_model
    ahead = outlook(base, vendor, datetime.now(UTC).date()) if base else None
    rows = [(one.intent[:10], one.state, one.job or "", one.model or "", f"{one.cost_usd:,.2f}") for one in jobs]
    lines = [table(("intent", "state", "job", "model", "USD"), rows) if rows else "There are no hosted jobs."]
    lines += [alarm.sentence for alarm in due] + ([ahead] if ahead else [])
    data = {"jobs": [job_as_json(one) for one in jobs], "alarms": [_alarm(one) for one in due], "outlook": ahead}
    return Shown(data, "\n".join(lines))


def show_hosted_cancel(bench: Workbench, intent: str) -> Shown:
    """Ends a job, at the vendor too."""
    job = hosted_aftercare.cancel(bench.hosted, _whole(bench, intent))
    return Shown(job_as_json(job), f"Job {job.job or job.intent} is {job.state}.")


def show_deleted_files(bench: Workbench, intent: str) -> Shown:
    """Deletes the files of an ended job at the vendor."""
    gone = hosted_aftercare.delete_files(bench.hosted, _whole(bench, intent))
    return Shown({"intent": intent, "deleted": list(gone)}, f"{len(gone)} files deleted at {bench.hosted.vendor.name}.")


def show_saved_answers(bench: Workbench, release: str | None) -> Shown:
    """Keeps a hosted release's golden answers, and says what to do before its model stops."""
    name = release or bench.releases.standing(bench.assistant).release
    if name is None:
        raise NotFound("Nothing is being served. Name a release: `ratchet releases`.")
    manifest = bench.releases.release(bench.assistant, name).manifest
    labels = [one for one in bench.label_catalog.labels(bench.assistant) if one.state == "accepted"]
    digest = hosted_aftercare.save_golden_answers(
        bench.hosted_jobs,
        manifest,
        labels,
        lambda questions: answer(questions, manifest, bench.answering),
        bench.artifacts,
        bench.home / "golden-answers" / name,
    )
    stops = retirement_of(manifest.model.base, vendor_of(bench.settings.hosted_base_url))
    train = sum(one.split == "train" for one in labels)
    advice = proposal(manifest.model.base, stops.stops, train, digest) if stops else f"Kept in {digest}."
    return Shown({"release": name, "golden_answers": digest, "proposal": advice}, advice)


def _whole(bench: Workbench, intent: str) -> str:
    """The intent that this is the beginning of, or what was given."""
    alike = [one.intent for one in bench.hosted_jobs.jobs(bench.assistant) if one.intent.startswith(intent)]
    return alike[0] if len(alike) == 1 else intent


def job_as_json(job: HostedJob) -> dict[str, object]:
    """A job as every `--json` that shows it tells it."""
    error = {"code": job.error.code, "message": job.error.message, "param": job.error.param} if job.error else None
    return {
        "intent": job.intent,
        "base": job.base,
        "method": job.method,
        "state": job.state,
        "attempt": job.attempt,
        "job": job.job,
        "model": job.model,
        "tokens": job.tokens,
        "trained_tokens": job.trained_tokens,
        "cost_usd": job.cost_usd,
        "error": error,
        "checkpoints": [one.model for one in job.checkpoints],
        "metrics": dict(job.metrics),
        "golden_answers": job.golden_answers,
    }


def _alarm(alarm: Alarm) -> dict[str, object]:
    return {
        "model": alarm.model,
        "stops": alarm.stops.isoformat(),
        "days_left": alarm.days_left,
        "within_days": alarm.within_days,
        "sentence": alarm.sentence,
    }
