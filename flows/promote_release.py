"""Make a proven release current, after a person's approval where the policy asks for it."""

from __future__ import annotations

from dataclasses import dataclass

from prefect import flow
from pydantic import Field

from blocks.assistant import open_assistant
from flows.announcing import announce
from flows.approval import Decision, asked_before, decision_on, deployed_run
from flows.drawing import publish_promotion
from flows.naming import run_name
from flows.requests import AssistantRequest, whoever_runs_this
from flows.running import log, perform
from infra.workbench import Workbench
from tasks import releases
from tasks.core.approval import Question, question, require_same_question, topic_of
from tasks.core.errors import PromotionRefused, UsageError
from tasks.core.evidence import policy_id
from tasks.core.promotion import Promotion, require_promotable, was_rolled_back
from tasks.evaluation import Evaluation


class PromoteRequest(AssistantRequest):
    """Which release, by whom and why."""

    release: str = Field(title="Release", description="Release id, such as r-0123456789abcdef")
    who: str | None = Field(
        title="Your name",
        default=None,
        description="Recorded in the history; default: the user the run belongs to. Outside a deployment this name is "
        "the approval, where the policy asks for one",
    )
    reason: str | None = Field(
        title="Reason", default=None, description="Required for a release that was rolled back before, and to override"
    )
    override: bool = Field(
        title="Accept doubts",
        default=False,
        description="Accept the doubts of a HOLD, as far as the policy lets this person",
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a verdict that nobody watched. `approval` says what a person decided, or where to decide."""

    promotion: Promotion | None
    approval: str | None = None


@flow(name="promote-release", flow_run_name=run_name("promote {release}"), log_prints=False)
async def promote_release(request: PromoteRequest) -> Promotion | None:
    """Promote a release whose verdict still holds; None when it is current already.

    Where the policy asks for approval the run is suspended until a person decides; a refusal fails it.

    Args:
        request: Which release, by whom and why.
    """
    async with open_assistant(request.assistant, request.block) as bench:
        return await promote(bench, request.release, who=request.who, reason=request.reason, override=request.override)


async def promote(
    bench: Workbench, release: str, *, who: str | None = None, reason: str | None = None, override: bool = False
) -> Promotion | None:
    """Ask a person where the policy says so, check the verdict and the bundle, move the pointer.

    Outside a deployment's run whoever calls is that person. Raises UsageError when `who` is missing then,
    PromotionRefused when the person refuses, and what `tasks.releases.promote` raises.
    """
    asked = await asked_before() or question_about(bench, release, override=override)
    if asked is None:
        return await _move(bench, release, who=who or whoever_runs_this(), reason=reason, override=override)
    if deployed_run() is None:
        approver = _present(asked, who)
        return await _move(bench, release, who=approver, reason=reason, override=override, approved_by=approver)
    decision = await decision_on(bench, asked, needs_reason=_needs_reason(bench, asked))
    if not decision.approved:
        raise PromotionRefused(f"{decision.sentence(asked)}. What is served stays.", release=release, who=decision.who)
    return await _carried_out(bench, asked, decision)


async def promote_judged(bench: Workbench, evaluation: Evaluation, so_far: object) -> Outcome:
    """What comes of a verdict in a run that nobody watches: promoted, put to a person, or left as it is.

    so_far: the run's report, which it needs when it starts again with the person's decision.
    """
    asked = await asked_before() or question_about(bench, evaluation.release)
    if asked is None:
        wanted = evaluation.verdict == "PROMOTE"
        return Outcome(await _move(bench, evaluation.release, who=whoever_runs_this()) if wanted else None)
    if deployed_run() is None:
        return Outcome(None, f"Not promoted: {asked.why}. Approve it with `{_command(asked)}`.")
    decision = await decision_on(bench, asked, needs_reason=_needs_reason(bench, asked), so_far=so_far)
    said = decision.sentence(asked)
    log(said)
    return Outcome(await _carried_out(bench, asked, decision) if decision.approved else None, said)


def question_about(bench: Workbench, release: str, *, override: bool = False) -> Question | None:
    """What a person has to be asked first; None where nobody is.

    Raises StaleComparison when the verdict does not hold any more: then there is nothing to ask about.
    """
    policy, row = bench.settings.policy, bench.releases.release(bench.assistant, release)
    standing = bench.releases.standing(bench.assistant)
    judgement = bench.evaluations.judgement(bench.assistant, row.id)
    if judgement is None or (standing.release == row.id and not standing.unproven):
        return None
    served = bench.releases.release(bench.assistant, standing.release).manifest if standing.release else None
    offered = override or (policy.approval.ask == "held" and deployed_run() is not None)
    asked = question(
        judgement,
        policy,
        new_model=served is None or served.model != row.manifest.model,
        may_override=offered,
    )
    if asked is not None:
        require_promotable(
            row.id,
            standing,
            judgement,
            bench.releases.history(bench.assistant),
            golden_set=bench.golden_set_id(),
            reason="to be given",
            policy=policy_id(policy),
            who=next(iter(policy.override.who), ""),
            override=policy.override if asked.accepts else None,
        )
    return asked


def topic_now(bench: Workbench, release: str) -> str:
    """What a question about this release would be about if it were judged now."""
    standing = bench.releases.standing(bench.assistant)
    return topic_of(release, None if standing.unproven else standing.release, bench.golden_set_id())


def _present(asked: Question, who: str | None) -> str:
    if who is None or not who.strip():
        raise UsageError(
            f"Release {asked.release} needs a person's approval: {asked.why}. Give your name: `{_command(asked)}`.",
            release=asked.release,
        )
    return who.strip()


def _command(asked: Question) -> str:
    override = " --override --reason TEXT" if asked.accepts else ""
    return f"ratchet promote {asked.release} --who NAME{override}"


def _needs_reason(bench: Workbench, asked: Question) -> bool:
    return was_rolled_back(asked.release, bench.releases.history(bench.assistant))


async def _carried_out(bench: Workbench, asked: Question, decision: Decision) -> Promotion | None:
    """Promotes what the person saw. Raises StaleComparison when the world moved on while the run waited."""
    require_same_question(asked, bench.evaluations.judgement(bench.assistant, asked.release))
    return await _move(
        bench,
        asked.release,
        who=decision.who,
        reason=decision.reason,
        override=bool(asked.accepts),
        approved_by=decision.who,
    )


async def _move(
    bench: Workbench,
    release: str,
    *,
    who: str,
    reason: str | None = None,
    override: bool = False,
    approved_by: str | None = None,
) -> Promotion | None:
    made = await perform(
        releases.promote,
        bench.release_bench,
        release,
        golden_set=bench.golden_set_id(),
        who=who,
        reason=reason,
        override=override,
        approved_by=approved_by,
    )
    if made is not None:
        announce(bench.assistant, "release.promoted", made.release, previous=made.previous)
        await publish_promotion(bench, made)
    return made
