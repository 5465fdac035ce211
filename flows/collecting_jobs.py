"""A job at a vendor that an earlier run began comes before a new one: its model is paid for, whatever changed since."""

from __future__ import annotations

from flows.drawing import logged_progress, publish_curves
from flows.running import log, perform
from infra.showing import shown_progress
from infra.workbench import Workbench
from tasks import hosted_collecting
from tasks.core.documents import Snapshot
from tasks.core.hosted_collecting import collected_sentence
from tasks.core.hosted_jobs import Method
from tasks.core.retraining import RetrainDecision
from tasks.core.training_method import NAMES, Asked, Chosen, MethodChoice
from tasks.training import TrainingReport

LEARNED: dict[Asked, Method] = {"openai": "supervised", "auto": "supervised", "openai-dpo": "dpo"}


async def collect(bench: Workbench, asked: Asked) -> TrainingReport | None:
    """The model of a job of this method that nobody has registered; None where there is none. Pays for nothing.

    Where the method is left to the choice, and no vendor is set any more, it waits until one is.
    """
    method = LEARNED.get(asked)
    if method is None or (asked == "auto" and not bench.settings.hosted_base_model):
        return None
    if not hosted_collecting.owed_jobs(bench.trainings, bench.hosted_jobs, bench.assistant, method):
        return None
    progress = shown_progress() or logged_progress()
    made = await perform(hosted_collecting.collect_jobs, bench.training_by("openai"), method, progress)
    if made is not None:
        await publish_curves(bench, made.model)
    return made


def told(
    bench: Workbench, made: TrainingReport, since: RetrainDecision, newest: Snapshot
) -> tuple[TrainingReport, MethodChoice]:
    """The collected model, with the line that says so. since: what has come, as decided after it was collected."""
    lineage = made.model.lineage
    job = bench.hosted_jobs.job(bench.assistant, lineage.training)
    method: Chosen = "openai-dpo" if lineage.method == "dpo" else "openai"
    what = "preferences" if lineage.method == "dpo" else "labels"
    sentence = collected_sentence(
        (job.job if job else None) or lineage.training,
        f"{len(lineage.label_ids)} {what}",
        new=f"new {what}: {since.new}",
        then=lineage.snapshot.number,
        now=newest.number,
    )
    choice = MethodChoice(method, f"{NAMES[method]}: {sentence}")
    log(choice.reason)
    return made, choice
