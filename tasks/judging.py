"""The step that has answers judged by a model: each judgement is asked for once in its life, within a budget."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import fsum
from statistics import fmean
from typing import Protocol

from tasks.core.answers import Answer
from tasks.core.errors import UsageError
from tasks.core.human_judgements import HumanJudgement, pooled
from tasks.core.judge_prompts import PROMPTS, shows_an_order
from tasks.core.judging import (
    NOTHING_HEARD,
    Agreement,
    Exhibit,
    JudgedScores,
    JudgeRecord,
    agreements,
    exhibit_of,
    gap_between_orders,
    mean_of,
    settled,
)
from tasks.core.labels import Label
from tasks.core.metrics.score import JUDGED, Metric, Score
from tasks.core.policy import JudgePolicy, Policy
from tasks.core.ports import Judge, Progress
from tasks.core.releases import canonical_json
from tasks.judge_asking import RulingCache
from tasks.judge_sitting import Sitting, recall_rulings, sit


class HumanJudgements(Protocol):
    """What people said of answers."""

    def judgements(self, assistant: str) -> Sequence[HumanJudgement]:
        """All of them, in one order."""


@dataclass(frozen=True, slots=True)
class JudgeBench:
    """What having answers judged needs."""

    assistant: str
    judge: Judge
    rulings: RulingCache
    people: HumanJudgements


def judge_answers(
    bench: JudgeBench,
    policy: Policy,
    labels: Sequence[Label],
    answers: Sequence[Answer],
    baseline_answers: Sequence[Answer],
    progress: Progress | None = None,
) -> JudgeRecord:
    """What the judge says of the answers, and of those that people judged. baseline_answers: none without a baseline.

    Each answer is judged by itself, so that it does not matter whose it is. First come the answers that people judged,
    which are paid for once; then question by question both sides, so that a budget that is spent leaves whole pairs.
    A judge that cannot be asked costs an evaluation nothing but its scores: they are undefined, and `unfinished` says
    why. Raises Stopped when the run is to end, and UsageError when the policy has no judge.
    """
    rules = _rules(policy)
    human = pooled(bench.people.judgements(bench.assistant))
    sides = [side for side in (answers, baseline_answers) if side]
    pairs = [(label, answer) for label, *both in zip(labels, *sides, strict=True) for answer in both]
    asked = [(metric, exhibit_of(*pair)) for pair in pairs for metric in JUDGED if settled(metric, *pair) is None]
    wanted = [*((metric, exhibit) for metric, exhibit, _ in human), *asked]
    sitting = sit(bench.judge, bench.rulings, rules, wanted, progress)
    return JudgeRecord(
        judge=_fingerprint(bench.judge, rules),
        agreement=_agreement(sitting, human, policy.alpha),
        candidate=_side(sitting, labels, answers),
        baseline=_side(sitting, labels, baseline_answers) if baseline_answers else {},
        calls=sum(ruling.calls for ruling in sitting.rulings.values()),
        cost_usd=fsum(ruling.cost_usd for ruling in sitting.rulings.values()),  # exact, in whatever order they come
        unfinished=sitting.unfinished,
        order_gap=_order_gap(sitting, wanted),
    )


def known_agreement(bench: JudgeBench, policy: Policy) -> dict[Metric, Agreement]:
    """Agreement on those answers that people and, in some evaluation before, the judge have judged. Asks nothing."""
    rules = _rules(policy)
    human = pooled(bench.people.judgements(bench.assistant))
    wanted = [(metric, exhibit) for metric, exhibit, _ in human]
    return _agreement(recall_rulings(bench.judge, bench.rulings, rules.repeats, wanted), human, policy.alpha)


def _rules(policy: Policy) -> JudgePolicy:
    if policy.judge is None:
        raise UsageError("The policy has no judge. Add [policy.judge] with the model that shall judge.")
    return policy.judge


def _fingerprint(judge: Judge, rules: JudgePolicy) -> str:
    parts = [judge.fingerprint, PROMPTS, rules.repeats]
    return "judge-" + hashlib.sha256(canonical_json(parts).encode()).hexdigest()[:16]


# ── what comes of it ─────────────────────────────────────────────────────────────────────────────────────────────────


def _side(sitting: Sitting, labels: Sequence[Label], answers: Sequence[Answer]) -> JudgedScores:
    return {
        label.id: {metric: _score_of(sitting, metric, label, answer) for metric in JUDGED}
        for label, answer in zip(labels, answers, strict=True)
    }


def _score_of(sitting: Sitting, metric: Metric, label: Label, answer: Answer) -> Score:
    known = settled(metric, label, answer)
    return mean_of(sitting.scores(metric, exhibit_of(label, answer))) if known is None else known


def _agreement(
    sitting: Sitting, human: Sequence[tuple[Metric, Exhibit, float]], alpha: float
) -> dict[Metric, Agreement]:
    """On what was judged by both; what the judge did not reply to is nobody's disagreement, and is counted."""
    heard = [
        (metric, value, mean_of(sitting.scores(metric, exhibit)))
        for metric, exhibit, value in human
        if sitting.heard(metric, exhibit)
    ]
    found = agreements(heard, alpha=alpha)
    unheard = Counter(metric for metric, exhibit, _ in human if not sitting.heard(metric, exhibit))
    return {
        metric: replace(found.get(metric, NOTHING_HEARD), unheard=unheard[metric])
        for metric in JUDGED
        if metric in found or unheard[metric]
    }


def _order_gap(sitting: Sitting, wanted: Sequence[tuple[Metric, Exhibit]]) -> dict[Metric, float]:
    ordered = [(metric, exhibit) for metric, exhibit in dict.fromkeys(wanted) if shows_an_order(metric, exhibit)]
    gaps = [(metric, gap_between_orders(sitting.scores(metric, exhibit))) for metric, exhibit in ordered]
    by_metric = {metric: [gap for of, gap in gaps if of == metric and gap is not None] for metric in JUDGED}
    return {metric: fmean(found) for metric, found in by_metric.items() if found}
