"""A promotion that waits for a person: the run is suspended, its process ends, the form in the Prefect UI resumes it.

A resumed run starts again from the top, so what was asked is kept with the run: it trains, judges and ingests nothing
a second time, and promotes what the person saw or nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NoReturn, TypeVar

from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun, FlowRunInput, StateType
from prefect.context import FlowRunContext
from prefect.flow_runs import asuspend_flow_run
from prefect.input import RunInput
from prefect.input.actions import acreate_flow_run_input, afilter_flow_run_input, aread_flow_run_input
from pydantic import Field, TypeAdapter, create_model

from flows.drawing import publish_evaluation
from flows.running import log
from infra.workbench import Workbench
from tasks.core.approval import Question
from tasks.core.evidence import PAGE, REPORT

R = TypeVar("R")

ASKED = "ratchet-approval"  # run inputs that say what was asked
_FORM = "suspended-approval-"  # those that Prefect keeps: the form as `…-schema`, what was sent as `…-response`
_LONGEST_REPORT = 12_000  # characters in the dialog; the rest is in the report itself
_MOST_INPUTS = 200
_MINUTE = "%d %B %Y %H:%M UTC"


class ApprovalForm(RunInput):
    """What a person fills in. Nothing that decides has a default: an empty form is refused."""

    decision: Literal["approve", "refuse"] = Field(
        title="Decision", description="approve: it is served from now on. refuse: what is served stays"
    )
    who: str = Field(
        title="Your name", min_length=1, pattern=r"\S", description="Recorded: Prefect does not know who you are"
    )
    reason: str = Field(default="", title="Reason", description="Recorded beside the promotion")


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decided about a question."""

    approved: bool
    who: str
    reason: str | None

    def sentence(self, asked: Question) -> str:
        """For the run's log and report."""
        word = "approved" if self.approved else "refused"
        return f"{self.who} {word} {asked.release}" + (f": {self.reason}" if self.reason else "")


def deployed_run() -> FlowRun | None:
    """The flow run this is, if it can be suspended: it belongs to a deployment, so a worker can start it again."""
    context = FlowRunContext.get()
    run = context.flow_run if context is not None else None
    if run is None or run.deployment_id is None or run.parent_task_run_id is not None:
        return None
    return run


async def asked_before() -> Question | None:
    """What this run has asked a person already; None in a run that has asked nothing."""
    return await _kept("question", Question)


async def recalled(kind: type[R]) -> R | None:
    """The report of this run as it stood when it asked; None in a run that has asked nothing."""
    return await _kept("so_far", kind)


async def _kept(part: str, kind: type[R]) -> R | None:
    kept = await aread_flow_run_input(ASKED) if deployed_run() else None
    return None if kept is None else TypeAdapter(kind).validate_python(kept[part])


async def asked_elsewhere(topic: str) -> str | None:
    """Says which run has asked this already, whatever came of it; None when none has. One verdict is one question."""
    this = deployed_run()
    if this is None:
        return None
    others = FlowRunFilter(tags=FlowRunFilterTags(all_=[topic]), id=FlowRunFilterId(not_any_=[this.id]))
    async with get_client() as client:
        runs = await client.read_flow_runs(flow_run_filter=others)
    asked = next((run for run in runs if run.state is not None and run.state_type is not StateType.CRASHED), None)
    if asked is None:
        return None
    return f"Run {asked.id} ({asked.name}, {asked.state_name}) asked about {topic} already; promote-release asks again."


async def decision_on(bench: Workbench, asked: Question, *, needs_reason: bool, so_far: object = None) -> Decision:
    """What a person decided. The first time it does not return: the run is suspended, and starts again when resumed.

    so_far: what `recalled` returns then.
    """
    forms: list[FlowRunInput] = await afilter_flow_run_input(_FORM, limit=_MOST_INPUTS)
    sent = [one for one in forms if one.key.endswith("-response")]
    if not sent:
        if so_far is None:  # nothing was judged in this run, so it has nothing to show yet
            await publish_evaluation(bench, bench.evaluations.evaluation(bench.assistant, asked.judgement.id))
        await _remember(asked, so_far)
        await _suspend(bench, asked, needs_reason, 1 + sum(one.key.endswith("-schema") for one in forms))
    form = ApprovalForm.load_from_flow_run_input(sent[-1])
    return Decision(form.decision == "approve", form.who.strip(), form.reason.strip() or None)


async def _remember(asked: Question, so_far: object) -> None:
    run = deployed_run()
    assert run is not None  # only such runs ask
    if await aread_flow_run_input(ASKED) is None:
        kept = {"question": asked, "so_far": so_far}
        await acreate_flow_run_input(ASKED, TypeAdapter(dict[str, Any]).dump_python(kept, mode="json"))
    async with get_client() as client:
        await client.update_flow_run(run.id, tags=sorted({*run.tags, asked.topic}))


async def _suspend(bench: Workbench, asked: Question, needs_reason: bool, attempt: int) -> NoReturn:
    """A second attempt is the run of a form that timed out, tried again: Prefect takes no key twice."""
    hours = bench.settings.policy.approval.timeout_hours
    form = form_for(asked, bench.settings.policy.override.who, needs_reason=needs_reason)
    until = datetime.now(UTC) + timedelta(hours=hours)
    log(f"A person is asked about {asked.topic}. Resume this run to decide; no decision by {until:{_MINUTE}} is a no.")
    shown = form.with_initial_data(description=_described(bench, asked, until))
    await asuspend_flow_run(wait_for_input=shown, key=f"approval-{attempt}", timeout=round(hours * 3600))
    raise AssertionError("a suspended run does not go on")


def form_for(asked: Question, may_override: tuple[str, ...], *, needs_reason: bool) -> type[ApprovalForm]:
    """The form. Doubts are accepted only by somebody whom the policy names, and with a reason."""
    fields: dict[str, Any] = {}
    if asked.accepts and "*" not in may_override:
        names = Field(title="Your name", description="Those whom the policy lets accept doubts")
        fields["who"] = (Literal[may_override], names)
    if asked.accepts or needs_reason:
        required = Field(title="Reason", min_length=1, pattern=r"\S", description="Required, and recorded")
        fields["reason"] = (str, required)
    return create_model("ApprovalForm", __base__=ApprovalForm, **fields) if fields else ApprovalForm


def _described(bench: Workbench, asked: Question, until: datetime) -> str:
    folder = bench.artifacts.path(asked.judgement.id)
    report = (folder / REPORT).read_text(encoding="utf-8")
    served = asked.judgement.baseline or "what is served now, which is unproven, or nothing"
    lines = [
        f"Shall **{asked.release}** be served for assistant **{bench.assistant}** instead of {served}? You are asked "
        f"because {asked.why}. No decision by {until:{_MINUTE}} is no promotion.",
    ]
    if asked.accepts:
        lines.append(f"Approving accepts these doubts: {', '.join(f'`{name}`' for name in asked.accepts)}.")
    page = (folder / PAGE).as_uri()
    lines.append(
        f"Every gate is under *Artifacts* of this run. The report with plots: [{PAGE}]({page}), on its machine."
    )
    return "\n\n".join([*lines, "---", _bounded(report)])


def _bounded(report: str) -> str:
    if len(report) <= _LONGEST_REPORT:
        return report
    return report[:_LONGEST_REPORT].rpartition("\n")[0] + "\n\n*The report goes on under Artifacts of this run.*"
