"""Train when enough labels have arrived, judge the candidate, promote it when it passes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from prefect import flow
from pydantic import Field

from blocks.assistant import open_assistant
from flows.approval import asked_elsewhere, recalled
from flows.collecting_jobs import collect, told
from flows.drawing import all_of, drawn_progress, logged_progress, publish_curves
from flows.evaluate_release import evaluate, register
from flows.hosted_jobs import retirements
from flows.naming import run_name
from flows.promote_release import promote_judged, topic_now
from flows.requests import AssistantRequest
from flows.running import log, perform
from infra.showing import shown_progress
from infra.workbench import Workbench
from tasks import candidates, hosted_collecting, preferences, training, training_runs
from tasks.core.candidates import reference, with_model
from tasks.core.documents import Snapshot
from tasks.core.patterns import with_pattern
from tasks.core.promotion import Promotion
from tasks.core.releases import ReleaseManifest
from tasks.core.retraining import RetrainDecision
from tasks.core.taught_rows import LEARNS
from tasks.core.training_method import NAMES, Asked, Chosen, MethodChoice
from tasks.evaluation import Evaluation
from tasks.releases import ReleaseRow
from tasks.training import RegisteredModel, TrainingReport
from tasks.training_choice import choice_of, choose_where


class RetrainRequest(AssistantRequest):
    """Whether to train regardless, and how far to go."""

    method: Asked = Field(
        title="Method",
        default="lora",
        description="On labels: LoRA here, OpenAI's fine-tuning protocol at a vendor, or what fits best. On "
        "preferences: DPO here, or at the vendor (openai-dpo). On ratings: KTO here",
    )
    force: bool = Field(
        title="Force",
        default=False,
        description="Train below the threshold, again where a vendor's job ended without a model, or beside one",
    )
    evaluate: bool = Field(title="Evaluate", default=True, description="Judge the candidate")
    promote: bool = Field(title="Promote", default=True, description="Promote the candidate when it passes")


@dataclass(frozen=True, slots=True)
class RetrainReport:
    """What came of it. `training` is None when the decision was not to train."""

    decision: RetrainDecision
    training: TrainingReport | None
    release: ReleaseRow | None
    evaluation: Evaluation | None
    promotion: Promotion | None
    approval: str | None = None  # what a person decided, or where one is asked to
    choice: MethodChoice | None = None  # where it was trained, and why

    def as_json(self) -> dict[str, object]:
        """The object of `ratchet train --json`."""
        made = self.training
        return {
            "model": made.model.id if made else None,
            "release": self.release.id if self.release else None,
            "examples": made.examples if made else 0,
            "seconds": round(made.seconds, 1) if made else 0.0,
            "trained": made is not None,
            "reason": self.decision.reason,
            "method": self.choice.method if self.choice else None,
            "method_reason": self.choice.reason if self.choice else None,
        }


@flow(name="retrain-model", flow_run_name=run_name("retrain"))
async def retrain_model(request: RetrainRequest) -> RetrainReport:
    """Check the threshold, freeze and render the labels, train, register the candidate, judge and promote it.

    Args:
        request: Whether to train regardless, and how far to go.
    """
    async with open_assistant(request.assistant, request.block) as bench:
        return await retrain(bench, request)


async def retrain(bench: Workbench, request: RetrainRequest) -> RetrainReport:
    """The same, on an open workbench. A run that waited for approval goes on with what it had trained and judged."""
    report = await recalled(RetrainReport) or await train_and_judge(bench, request)
    if report.evaluation is None or not request.promote:
        return report
    outcome = await promote_judged(bench, report.evaluation, report)
    return replace(report, promotion=outcome.promotion, approval=outcome.approval)


async def train_and_judge(bench: Workbench, request: RetrainRequest) -> RetrainReport:
    """Trains when it is time, registers the candidate and judges it; promotes nothing.

    A job at a vendor that was begun before comes first, and is all that such a run trains.
    """
    for alarm in retirements(bench):
        log(alarm.sentence)
    paid = None if request.force else await collect(bench, request.method)
    decision = await due(bench, request)
    left = None if decision.train or paid else left_unjudged(bench, request.method)
    if not decision.train and left is None and paid is None:
        return RetrainReport(decision, None, None, None, None)
    start = await perform(candidates.starting_point, bench.candidates)
    snapshot = candidates.newest_snapshot(bench.candidates)
    learns = LEARNS.get(request.method)
    known = told(bench, paid, decision, snapshot) if paid else taken_up(left) if left else None
    if learns:
        if request.method == "openai-dpo":  # a vendor reads worked examples as turns, and learns one turn
            start = start.model_copy(update={"prompt": training.tuned_prompt(start.prompt)})
        made, choice = known or await learn_opinions(bench, request, start, snapshot)
        manifest = with_model(start, snapshot, made.model.ref, start.prompt, start.retrieval)
        manifest = with_pattern(manifest, bench.settings.pattern)
    else:
        made, choice = known or await train(bench, request, start, snapshot)
        manifest = await perform(candidates.tuned_candidate, bench.candidates, start, snapshot, made.model.ref)
    what = preferences.NAMES[learns] if learns else "labels"
    release = await register(bench, manifest, f"trained on {len(made.model.lineage.label_ids)} {what}")
    if not request.evaluate:
        return RetrainReport(decision, made, release, None, None, choice=choice)
    if waiting := await asked_elsewhere(topic_now(bench, release.id)):
        return RetrainReport(decision, made, release, None, None, waiting, choice)
    return RetrainReport(decision, made, release, await evaluate(bench, release.id), None, choice=choice)


async def due(bench: Workbench, request: RetrainRequest) -> RetrainDecision:
    """Whether there is enough to train on, labels or opinions."""
    if learns := LEARNS.get(request.method):
        least = bench.settings.preferences.least
        return await perform(preferences.enough_opinions, bench.training, learns, least, force=request.force)
    return await perform(training.decide, bench.training, force=request.force)


async def train(
    bench: Workbench, request: RetrainRequest, start: ReleaseManifest, snapshot: Snapshot
) -> tuple[TrainingReport, MethodChoice]:
    """The model of today's labels, on this snapshot's passages, in its prompt as served; and where it was trained."""
    bench.training_by(request.method)  # what it lacks is told now, and not after the rows are rendered
    labels = await perform(training.freeze_labels, bench.training)
    rows = await perform(
        training.render_rows,
        bench.training,
        labels,
        reference(snapshot),
        training.tuned_prompt(start.prompt),
        start.retrieval,
    )
    choice = await perform(choose_where, bench.choice, request.method, rows.train)
    log(choice.reason)
    trainer = bench.training_by(choice.method, another=request.force)
    told = logged_progress() if choice.method == "openai" and not shown_progress() else None
    progress = all_of(
        shown_progress(),
        told,
        drawn_progress(f"{bench.assistant}-training-progress") if choice.method == "lora" else None,
    )
    step = hosted_collecting.train_or_collect if choice.method == "openai" else training_runs.train_and_register
    made = await perform(step, trainer, rows, progress)
    await publish_curves(bench, made.model)
    return made, choice


async def learn_opinions(
    bench: Workbench, request: RetrainRequest, start: ReleaseManifest, snapshot: Snapshot
) -> tuple[TrainingReport, MethodChoice]:
    """The served model after today's preferences or ratings, learned on prompts as its release serves them."""
    hosted = request.method == "openai-dpo"
    preferring = (
        bench.preferring_hosted(start.model, another=request.force)
        if hosted
        else bench.preferring(start.model, LEARNS[request.method])
    )
    rows = await perform(preferences.render_opinions, preferring, reference(snapshot), start.prompt, start.retrieval)
    choice = choice_of(preferring, rows)
    log(choice.reason)
    progress = all_of(
        shown_progress(),
        logged_progress() if hosted and not shown_progress() else None,
        None if hosted else drawn_progress(f"{bench.assistant}-training-progress"),
    )
    step = hosted_collecting.learn_or_collect if hosted else preferences.learn_and_register
    made = await perform(step, preferring, rows, progress)
    await publish_curves(bench, made.model)
    return made, choice


def taken_up(model: RegisteredModel) -> tuple[TrainingReport, MethodChoice]:
    """A waiting model as it is. Trained again on what has come since, a hosted one would be paid twice."""
    made_by = model.lineage.method
    here: Chosen = "lora" if made_by == "supervised" else made_by
    at_vendor: Chosen = "openai-dpo" if made_by == "dpo" else "openai"
    method = at_vendor if model.ref.kind == "hosted" else here
    choice = MethodChoice(method, f"{NAMES[method]}: {model.id} was trained before and waits to be judged.")
    log(choice.reason)
    return TrainingReport(model, model.lineage.rows, 0.0), choice


def left_unjudged(bench: Workbench, method: str = "lora") -> RegisteredModel | None:
    """The newest model, where it was trained and never judged to the end, as when its run was killed.

    Models of labels, of ratings, and of preferences here and at a vendor are looked at each by themselves.

    Where people approve new models, one with a verdict is theirs: waiting for them or refused, it is not trained again.
    """
    models = bench.trainings.models(bench.assistant)
    newest = next((one for one in models if _made_by(one, method)), None)
    if newest is None:
        return None
    theirs = bench.settings.policy.approval.ask in {"always", "new-model"}
    served = {promotion.release for promotion in bench.releases.history(bench.assistant)}
    for row in bench.releases.releases(bench.assistant):
        if row.manifest.model == newest.ref:
            judged = bench.evaluations.latest(bench.assistant, row.id)
            if row.id in served or (judged is not None and (theirs or judged.verdict != "PROMOTE")):
                return None
    return newest


def _made_by(model: RegisteredModel, method: str) -> bool:
    learns = LEARNS.get(method)
    if learns is None:
        return model.lineage.method == "supervised"
    return model.lineage.method == learns and (model.ref.kind == "hosted") == (method == "openai-dpo")
