"""Whether a new prompt or setting saves enough to be worth having: tokens, money or time."""

from __future__ import annotations

from math import ceil, log2
from statistics import median

from tasks.core.answers import Answer
from tasks.core.gate import Gate, would_decide
from tasks.core.gates.pace import paired_seconds
from tasks.core.pace import Rehearsal
from tasks.core.policy import Pace, Policy
from tasks.core.scoring import ScoreSheet
from tasks.core.stats import clusters_of, estimate_difference, questions_needed, sign_test


def cheaper_gate(candidate: ScoreSheet, baseline: ScoreSheet, policy: Policy, *, alpha: float) -> Gate:
    """All answers together cost less by more than `pace.saving`: the lower bound counts.

    Cost is money where the policy names prices, otherwise tokens read and written. What is estimated is the mean of
    (1 - saving) · cost then - cost now, which lies above 0 exactly when the costs together shrink by more: a mean of
    relative savings would call it cheaper when many short answers shrink and a few long ones explode. Declining saves
    nothing: where only the candidate declines, it costs what the other did.
    """
    saving, kept = policy.pace.saving, 1 - policy.pace.saving
    theirs = {q.label.id: q.answer for q in baseline.questions}
    both = [
        (q.label, *_costs(theirs[q.label.id], q.answer, policy.pace))
        for q in candidate.questions
        if q.label.id in theirs
    ]
    then, now = sum(b for _, b, _ in both), sum(c for _, _, c in both)
    if len(both) < policy.minimum_questions or not then:
        reason = f"Cost is known on {len(both) if then else 0} questions; {policy.minimum_questions} are needed."
        return Gate("cheaper", "undecided", reason, n=len(both))
    left = [kept * b - c for _, b, c in both]
    scale = max(1e-12, *(abs(x) for x in left))
    labels = [label for label, _, _ in both]
    seen = estimate_difference([x / scale for x in left], clusters_of(labels), alpha=alpha, how=policy.resampling)
    found, bound = 1 - now / then, seen.lower * scale / (then / len(both)) + saving
    unit = "money" if _has_prices(policy.pace) else "tokens"
    reason = f"{100 * found:.1f} % of {unit} saved, at least {100 * bound:.1f} %; {100 * saving:.0f} % is worth having."
    if seen.lower > 0:
        return Gate("cheaper", "pass", reason, round(found, 6), round(bound, 6), seen.n)
    if found > saving:
        reason += f" Undecided: {would_decide(questions_needed(seen, max(seen.mean, 0.005), alpha=alpha))}"
    return Gate("cheaper", "undecided", reason, round(found, 6), round(bound, 6), seen.n)


def faster_gate(rehearsal: Rehearsal, policy: Policy, *, alpha: float) -> Gate:
    """The median question takes less time by `pace.saving` at least: an exact sign test over the questions."""
    pairs, kept = paired_seconds(rehearsal), 1 - policy.pace.saving
    if not pairs:
        return Gate("faster", "undecided", "No question was asked one at a time of both releases.")
    wins = sum(now <= kept * then for now, then in pairs)
    chance = sign_test(wins, len(pairs) - wins)
    saved = 1 - median(now / then for now, then in pairs)
    reason = (
        f"{wins} of {len(pairs)} questions took less time by {100 * policy.pace.saving:.0f} % or more; "
        f"by chance that happens with probability {chance:.3f}."
    )
    if chance > alpha:
        least = ceil(log2(1 / alpha))
        reason += f" At {alpha:.4f} it takes {least} questions at least (pace.questions)."
    return Gate(
        "faster", "pass" if chance <= alpha else "undecided", reason, round(saved, 6), round(chance, 6), len(pairs)
    )


def _costs(then: Answer, now: Answer, pace: Pace) -> tuple[float, float]:
    was = _cost(then, pace)
    return was, max(was, _cost(now, pace)) if now.abstained and not then.abstained else _cost(now, pace)


def _cost(answer: Answer, pace: Pace) -> float:
    read, written = answer.prompt_tokens, answer.completion_tokens
    if not _has_prices(pace):
        return float(read + written)
    return read * pace.usd_per_million_prompt_tokens + written * pace.usd_per_million_completion_tokens


def _has_prices(pace: Pace) -> bool:
    return pace.usd_per_million_prompt_tokens + pace.usd_per_million_completion_tokens > 0
