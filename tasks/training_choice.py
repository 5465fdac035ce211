"""The step that decides where the next model is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from tasks.core.hosted_cost import BUDGET_SECONDS, committed_usd, estimate
from tasks.core.hosted_files import HostedFile, preference_file, supervised_file
from tasks.core.hosted_retirement import outlook
from tasks.core.pace import Blessing
from tasks.core.ports import TrainingRow
from tasks.core.taught_rows import pairs_of
from tasks.core.training_method import (
    NAMES,
    Asked,
    Chosen,
    Hosted,
    MethodChoice,
    MethodFacts,
    MethodLimits,
    choose_method,
)
from tasks.hosted_training import HostedBench
from tasks.preferences import PreferenceBench, RenderedOpinions
from tasks.training import RegisteredModel


@dataclass(frozen=True, slots=True)
class ChoiceBench:
    """What the choice needs. open_hosted: None where no vendor is configured.

    answered: how releases answered before they became current, with the kind of their models, newest first.
    """

    open_hosted: Callable[[], HostedBench | None]
    models: Callable[[], Iterable[RegisteredModel]]  # newest first
    answered: Callable[[], Iterable[tuple[str, Blessing]]]
    limits: MethodLimits
    now: Callable[[], float]


def choose_where(bench: ChoiceBench, asked: Asked, rows: tuple[TrainingRow, ...]) -> MethodChoice:
    """Where these rows are trained on, and why, with what a vendor costs and what is known of its end. Asks none."""
    choice = _chosen(bench, asked, rows, datetime.fromtimestamp(bench.now(), UTC).date())
    hosted = bench.open_hosted() if choice.method == "openai" else None
    return replace(choice, reason=f"{choice.reason} {ahead(hosted, supervised_file(rows))}") if hosted else choice


def choice_of(bench: PreferenceBench, rows: RenderedOpinions) -> MethodChoice:
    """The method that learns opinions, what it begins with and makes rows of, and at a vendor what that costs."""
    method: Chosen = "openai-dpo" if bench.hosted else bench.method
    base = bench.hosted.plan.base if bench.hosted else "the base"
    reason = f"{NAMES[method]}: asked for, beginning with {bench.start or base}. {rows.sentence}"
    told = ahead(bench.hosted, preference_file(pairs_of(rows.train))) if bench.hosted else ""
    return MethodChoice(method, f"{reason} {told}".rstrip())


def ahead(bench: HostedBench, file: HostedFile) -> str:
    """What a job on this file costs, by whose price, and what is known of the end of training there. Asks nobody."""
    plan, today = bench.plan, datetime.fromtimestamp(bench.now(), UTC).date()
    costs = f"A new job costs {estimate(file, plan.method, plan.epochs, plan.price, plan.tokens).sentence}."
    ends = outlook(plan.base, plan.vendor, today)
    return f"{costs} {ends}" if ends else costs


def _chosen(bench: ChoiceBench, asked: Asked, rows: tuple[TrainingRow, ...], today: date) -> MethodChoice:
    if asked != "auto":
        return choose_method(asked, MethodFacts(len(rows), None), bench.limits, today)
    seconds = dict(_answer_seconds(bench))
    hosted = bench.open_hosted()
    facts = MethodFacts(
        rows=len(rows),
        hosted=_hosted(hosted, rows, seconds.get("hosted")) if hosted else None,
        lora_seconds_per_row=next(_seconds_per_row(bench.models()), None),
        lora_answer_seconds=seconds.get("lora", seconds.get("base")),
    )
    return choose_method(asked, facts, bench.limits, today)


def _hosted(bench: HostedBench, rows: tuple[TrainingRow, ...], answer_seconds: float | None) -> Hosted:
    plan = bench.plan
    asked = estimate(supervised_file(rows), plan.method, plan.epochs, plan.price, plan.tokens)
    since = bench.now() - BUDGET_SECONDS
    spent = sum(committed_usd(job) for job in bench.jobs.jobs(bench.assistant) if job.begun_at > since)
    return Hosted(plan.base, plan.vendor, asked, plan.budget_usd - spent, answer_seconds)


def _seconds_per_row(models: Iterable[RegisteredModel]) -> Iterator[float]:
    for model in models:
        metrics = model.lineage.metrics
        tuned = model.ref.kind == "lora" and model.lineage.method == "supervised"
        if tuned and metrics.get("rows") and metrics.get("seconds"):
            yield metrics["seconds"] / metrics["rows"]


def _answer_seconds(bench: ChoiceBench) -> Iterable[tuple[str, float]]:
    """Oldest first, so that a dictionary keeps the newest."""
    told = [(kind, one) for kind, one in bench.answered() if one.questions]
    return [(kind, one.seconds / one.questions) for kind, one in reversed(told)]
