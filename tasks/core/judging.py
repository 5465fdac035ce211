"""What a judging model said of answers as scores, and how far it agrees with people.

After Ragas (Es et al. 2023, arXiv:2309.15217; context recall and precision are of its later releases), defined here in
full because its undefined cases are 0, 1 or NaN by version:

    faithfulness       claims of the answer that the passages shown support / claims of the answer
    relevancy          grade of the answer by a stated rubric, 0 to 4 / 4
    context precision  average precision of the passages shown, relevant where they help to reach the ideal answer
    context recall     claims of the ideal answer that the passages shown hold / claims of the ideal answer

Relevancy is asked for directly. Ragas has questions written for the answer and compares their embeddings with the real
one, which rates answers by a second model that nobody checked and gives a wrong answer to the right question 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist, fmean

from tasks.core.answers import Answer
from tasks.core.labels import Label
from tasks.core.metrics.retrieval import NO_RETRIEVAL
from tasks.core.metrics.score import DECLINED, IS_UNANSWERABLE, JUDGED, Metric, Score, Undefined
from tasks.core.stats import wilson_lower

JudgedScores = Mapping[str, Mapping[Metric, Score]]
"""Label id → metric → 0 to 1, or why the judge gave no value."""

BEST_GRADE = 4
YES_FROM = 0.5  # a value from here on counts as yes where judge and people are compared
NO_CLAIM = Undefined("the judge finds no claim in the answer")
NO_IDEAL_CLAIM = Undefined("the judge finds no claim in the ideal answer")


@dataclass(frozen=True, slots=True)
class Exhibit:
    """What a judge is shown: one answer with its question and passages. No judge sees whose answer it is."""

    question: str
    answer: str
    contexts: tuple[str, ...]  # passages as shown, best first
    ideal: str = ""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far a judge and people gave the same verdicts on the same answers."""

    kappa: float  # Cohen 1960: 1 always, 0 as often as chance
    lower: float  # its lower bound at alpha
    n: int  # answers that both judged
    unheard: int = 0  # answers that people judged, and about which the judge could not be asked


@dataclass(frozen=True, slots=True)
class JudgeRecord:
    """Everything a judge contributed to one evaluation. The same replies make the same record, paid anew or not."""

    judge: str  # fingerprint of model, server, prompts and repeats
    agreement: Mapping[Metric, Agreement] = field(default_factory=dict)
    candidate: JudgedScores = field(default_factory=dict)
    baseline: JudgedScores = field(default_factory=dict)
    calls: int = 0  # that all this rests on, whenever they were made
    cost_usd: float = 0.0  # of those calls
    unfinished: str | None = None  # why some answers were not judged: a budget that was spent, a judge that is down
    order_gap: Mapping[Metric, float] = field(default_factory=dict)
    """How far apart its values are, 0 to 1, with the passages in order and in reverse; none where it saw one order."""


# ── one verdict ──────────────────────────────────────────────────────────────────────────────────────────────────────


def settled(metric: Metric, label: Label, answer: Answer) -> Score | None:
    """The score that needs no judge; None when there is something to judge.

    What was retrieved is scored as `recall` is: nothing found is 0, showing no passages by design is undefined.
    """
    if label.unanswerable and metric != "judged_faithfulness":
        return IS_UNANSWERABLE
    if metric == "judged_relevancy":
        return 0.0 if answer.abstained else None
    if answer.pattern == "tuned":
        return NO_RETRIEVAL
    if metric == "judged_faithfulness" and answer.abstained:
        return DECLINED
    return None if answer.contexts else 0.0


def exhibit_of(label: Label, answer: Answer) -> Exhibit:
    """The answer as a judge sees it."""
    return Exhibit(label.question, answer.text, tuple(passage.text for passage in answer.contexts), label.answer)


def faithfulness(supported: Sequence[bool]) -> Score:
    """Share of the answer's claims that the passages support.

    >>> faithfulness([True, True, False, True]), faithfulness([])
    (0.75, Undefined(reason='the judge finds no claim in the answer'))
    """
    return _share(supported) if supported else NO_CLAIM


def relevancy(grade: int) -> float:
    """A grade from 0 to 4 as a share of the best."""
    return grade / BEST_GRADE


def context_precision(relevant: Sequence[bool]) -> float:
    """Average precision: the mean, over the relevant passages, of the share of relevant ones down to each.

    relevant: by rank, best first. 0 when no passage is relevant, as for a search that found nothing.

    >>> context_precision([True, False, True])  # (1/1 + 2/3) / 2
    0.8333333333333333
    """
    down_to = [_share(relevant[: rank + 1]) for rank, is_relevant in enumerate(relevant) if is_relevant]
    return fmean(down_to) if down_to else 0.0


def context_recall(found: Sequence[bool]) -> Score:
    """Share of the ideal answer's claims that the passages hold."""
    return _share(found) if found else NO_IDEAL_CLAIM


def _share(verdicts: Sequence[bool]) -> float:
    return sum(verdicts) / len(verdicts)


# ── repeats ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def reversed_at(repeat: int) -> bool:
    """Whether a repeat, counted from 0, shows the passages in reverse order: models favour where a passage stands."""
    return repeat % 2 == 1


def mean_of(repeats: Sequence[Score]) -> Score:
    """The mean; undefined as soon as one repeat is: a mean of those that went well would be of the easier ones.

    >>> mean_of([1.0, NO_CLAIM]), mean_of([NO_CLAIM, NO_CLAIM]) == NO_CLAIM
    (Undefined(reason='the judge finds no claim in the answer (repeat 2 of 2)'), True)
    """
    lost = [(n, score) for n, score in enumerate(repeats, start=1) if isinstance(score, Undefined)]
    if not lost:
        return fmean(score for score in repeats if not isinstance(score, Undefined))
    number, first = lost[0]
    if len(lost) == len(repeats) and all(score == first for _, score in lost):
        return first
    return Undefined(f"{first.reason} (repeat {number} of {len(repeats)})")


def gap_between_orders(repeats: Sequence[Score]) -> float | None:
    """How far the mean of the repeats in order is from the mean of those in reverse; None without both."""
    values = [(n, score) for n, score in enumerate(repeats) if not isinstance(score, Undefined)]
    forward = [score for n, score in values if not reversed_at(n)]
    backward = [score for n, score in values if reversed_at(n)]
    return abs(fmean(forward) - fmean(backward)) if forward and backward else None


# ── agreement ────────────────────────────────────────────────────────────────────────────────────────────────────────

_NO_AGREEMENT = -1.0  # the least kappa can be: nothing is known
NOTHING_HEARD = Agreement(kappa=0.0, lower=_NO_AGREEMENT, n=0)


def agreement_of(pairs: Iterable[tuple[float, Score]], *, alpha: float) -> Agreement | None:
    """Cohen's kappa of (people's value, judge's) pairs, yes from 0.5 on, with a lower bound; None without any pair.

    Where the judge gave no value it disagrees. The lower bound is kappa at Wilson's lower bound of the observed
    agreement, chance taken as it was seen: simulated, the truth lies below it at most alpha of the time wherever kappa
    is 0 or more, and it stays wide where few verdicts or none differ. (The asymptotic bound of Fleiss, Cohen & Everitt
    1969 calls 30 equal verdicts of 30 certain, and is wider only for judges that agree less than by chance.) Without
    two sorts of verdict from people there is nothing to agree on beyond chance: kappa 0, lower -1.
    """
    counts: dict[tuple[int, int], int] = {}
    for theirs, its in pairs:
        cell = int(theirs >= YES_FROM), 2 if isinstance(its, Undefined) else int(its >= YES_FROM)
        counts[cell] = counts.get(cell, 0) + 1
    n = sum(counts.values())
    if not n:
        return None
    if len({theirs for theirs, _ in counts}) < 2:
        return Agreement(0.0, _NO_AGREEMENT, n)
    return _agreement({cell: count / n for cell, count in counts.items()}, n, NormalDist().inv_cdf(1 - alpha))


def _agreement(shares: Mapping[tuple[int, int], float], n: int, z: float) -> Agreement:
    people = [sum(share for (theirs, _), share in shares.items() if theirs == word) for word in range(3)]
    judge = [sum(share for (_, its), share in shares.items() if its == word) for word in range(3)]
    observed = sum(share for (theirs, its), share in shares.items() if theirs == its)
    by_chance = sum(p * j for p, j in zip(people, judge, strict=True))
    kappa = (observed - by_chance) / (1 - by_chance)
    lower = (wilson_lower(observed, n, z) - by_chance) / (1 - by_chance)
    return Agreement(kappa, min(kappa, max(_NO_AGREEMENT, lower)), n)


def agreements(pairs: Iterable[tuple[Metric, float, Score]], *, alpha: float) -> dict[Metric, Agreement]:
    """By metric, those that people judged."""
    listed = list(pairs)
    found = {m: agreement_of([(v, s) for of, v, s in listed if of == m], alpha=alpha) for m in JUDGED}
    return {metric: agreement for metric, agreement in found.items() if agreement is not None}
