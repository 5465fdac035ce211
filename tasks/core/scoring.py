"""A score sheet: one answerer's answers to the golden questions, each with its scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tasks.core.answers import Answer
from tasks.core.labels import Label
from tasks.core.metrics.question import Marking, score_question
from tasks.core.metrics.score import Metric, Scores, Undefined
from tasks.core.trivial import (
    ALWAYS_ABSTAIN,
    COPY_FIRST_SENTENCE,
    MAJORITY_CLASS,
    always_abstain,
    copy_first_sentence,
    majority_answers,
    majority_class,
)

_UNASKED = Undefined("the other was not asked")


@dataclass(frozen=True, slots=True)
class Scored:
    """One question, what was answered, and what that scored."""

    label: Label
    answer: Answer
    scores: Scores


@dataclass(frozen=True, slots=True)
class ScoreSheet:
    """What one answerer (a release's id, or a trivial answerer's name) made of a golden set."""

    answerer: str
    questions: tuple[Scored, ...]  # by label id

    @property
    def label_ids(self) -> tuple[str, ...]:
        """The questions that were asked."""
        return tuple(q.label.id for q in self.questions)

    @property
    def labels(self) -> tuple[Label, ...]:
        """The same, whole."""
        return tuple(q.label for q in self.questions)


def mark(answerer: str, labels: Sequence[Label], answers: Sequence[Answer], marking: Marking) -> ScoreSheet:
    """The score sheet. answers: one per label, in the same order."""
    scored = (
        Scored(label, answer, score_question(label, answer, marking))
        for label, answer in zip(labels, answers, strict=True)
    )
    return ScoreSheet(answerer, tuple(sorted(scored, key=lambda q: q.label.id)))


def mark_trivial(sheet: ScoreSheet, marking: Marking) -> tuple[ScoreSheet, ...]:
    """What the trivial answerers make of the same questions with the same passages."""
    usual = majority_answers(sheet.labels)
    answerers: Mapping[str, Callable[[Scored], Answer]] = {
        ALWAYS_ABSTAIN: lambda q: always_abstain(q.answer, marking.abstention),
        COPY_FIRST_SENTENCE: lambda q: copy_first_sentence(q.answer, marking.abstention),
        MAJORITY_CLASS: lambda q: majority_class(q.answer, usual[q.label.id], marking.abstention),
    }
    return tuple(
        mark(name, sheet.labels, [answerer(q) for q in sheet.questions], marking)
        for name, answerer in answerers.items()
    )


def without(sheet: ScoreSheet, label_ids: Iterable[str]) -> ScoreSheet:
    """The sheet less some questions."""
    left_out = frozenset(label_ids)
    return replace(sheet, questions=tuple(q for q in sheet.questions if q.label.id not in left_out))


def only(sheet: ScoreSheet, label_ids: Iterable[str]) -> ScoreSheet:
    """The sheet of just these questions."""
    kept = frozenset(label_ids)
    return replace(sheet, questions=tuple(q for q in sheet.questions if q.label.id in kept))


@dataclass(frozen=True, slots=True)
class Values:
    """A metric where it is defined, question by question, and why it is not where it is not."""

    values: tuple[float, ...]
    labels: tuple[Label, ...]
    undefined: tuple[str, ...]  # one reason per question left out

    @property
    def mean(self) -> float | None:
        """None when there is no question."""
        return sum(self.values) / len(self.values) if self.values else None


def values_of(sheet: ScoreSheet, metric: Metric) -> Values:
    """One answerer's values."""
    pairs = [(q, q.scores[metric]) for q in sheet.questions]
    return Values(
        tuple(score for _, score in pairs if not isinstance(score, Undefined)),
        tuple(q.label for q, score in pairs if not isinstance(score, Undefined)),
        tuple(score.reason for _, score in pairs if isinstance(score, Undefined)),
    )


def differences(candidate: ScoreSheet, other: ScoreSheet, metric: Metric) -> Values:
    """Candidate minus other on every question where both are defined."""
    theirs = {q.label.id: q.scores[metric] for q in other.questions}
    values: list[float] = []
    labels: list[Label] = []
    undefined: list[str] = []
    for question in candidate.questions:
        mine, its = question.scores[metric], theirs.get(question.label.id, _UNASKED)
        if isinstance(mine, Undefined):
            undefined.append(mine.reason)
        elif isinstance(its, Undefined):
            undefined.append(its.reason)
        else:
            values.append(mine - its)
            labels.append(question.label)
    return Values(tuple(values), tuple(labels), tuple(undefined))
