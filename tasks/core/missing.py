"""What is known of a metric, and what it could be at worst: leaving values out must never help a release.

Some values are missing by nature: an answer that declines claims nothing that could be unfaithful. Such a question is
left out, and what declining costs is asked by `answers`, `abstains` and `right`, which are defined where it is not. But
where only the other release has no value, the candidate's counts against a perfect one: it said something where nothing
was said before, and a comparison of what both said would never see that this was made up.

Other values exist and nobody knows them: the judge's budget was spent, a reply could not be read. These count as 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tasks.core.judging import NO_CLAIM, NO_IDEAL_CLAIM
from tasks.core.labels import Label
from tasks.core.metrics.likeness import NO_FACTS, NO_NUMBERS
from tasks.core.metrics.retrieval import NO_PAGE_NAMED, NO_SPAN
from tasks.core.metrics.score import (
    CITES_NOTHING,
    DECLINED,
    IS_ANSWERABLE,
    IS_UNANSWERABLE,
    NOT_DECLINED,
    NOTHING_CLAIMED,
    Metric,
    Score,
    Undefined,
)
from tasks.core.scoring import Scored, ScoreSheet, Values, differences, values_of

BY_NATURE = frozenset(
    (
        IS_ANSWERABLE,
        IS_UNANSWERABLE,
        DECLINED,
        NOT_DECLINED,
        NOTHING_CLAIMED,
        CITES_NOTHING,
        NO_FACTS,
        NO_NUMBERS,
        NO_PAGE_NAMED,
        NO_SPAN,
        NO_CLAIM,
        NO_IDEAL_CLAIM,
    )
)
_UNASKED = Undefined("it was not asked")


@dataclass(frozen=True, slots=True)
class Known:
    """Values where they are known, and all that count when those that are missing are as bad as they can be."""

    values: Values
    at_worst: Values
    missing: tuple[str, ...]  # one reason per question that counts at worst only


def shares(sheet: ScoreSheet, metric: Metric) -> Known:
    """One answerer's values; at worst every unknown one is 0."""
    tally = _Tally()
    for question in sheet.questions:
        score = question.scores[metric]
        if not isinstance(score, Undefined):
            tally.known(question.label, score)
        elif score not in BY_NATURE:
            tally.at_worst(question.label, 0.0, score.reason)
    return tally.against(values_of(sheet, metric))


def changes(candidate: ScoreSheet, other: ScoreSheet, metric: Metric) -> Known:
    """Candidate minus other; at worst the candidate's unknown values are 0, and what the other lacks is 1."""
    theirs: Mapping[str, Score] = {q.label.id: q.scores[metric] for q in other.questions}
    tally = _Tally()
    for question in candidate.questions:
        _count(tally, question, question.scores[metric], theirs.get(question.label.id, _UNASKED), other.answerer)
    return tally.against(differences(candidate, other, metric))


def _count(tally: _Tally, question: Scored, mine: Score, its: Score, other: str) -> None:
    if isinstance(mine, Undefined):
        if mine not in BY_NATURE:
            tally.at_worst(question.label, 0.0 - (1.0 if isinstance(its, Undefined) else its), mine.reason)
    elif isinstance(its, Undefined):
        tally.at_worst(question.label, mine - 1.0, f"{other}: {its.reason}")
    else:
        tally.known(question.label, mine - its)


@dataclass
class _Tally:
    values: list[float] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def known(self, label: Label, value: float) -> None:
        self.values.append(value)
        self.labels.append(label)

    def at_worst(self, label: Label, value: float, reason: str) -> None:
        self.known(label, value)
        self.missing.append(reason)

    def against(self, found: Values) -> Known:
        """found: what is known alone."""
        return Known(found, Values(tuple(self.values), tuple(self.labels), ()), tuple(self.missing))
