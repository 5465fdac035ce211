"""The questions that were asked one at a time, as both releases answered them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.core.answers import Answer
from tasks.core.evidence import Evidence
from tasks.core.pace import Rehearsed


@dataclass(frozen=True, slots=True)
class Asked:
    """One question asked alone."""

    question: str
    now: float | None  # seconds of the candidate
    then: float | None  # seconds of the release being served
    as_judged: bool | None  # whether the candidate's answer was the one that was judged; None: it was not asked


def rehearsed(evidence: Evidence) -> tuple[Asked, ...]:
    """One per question, in the order in which they were asked. Empty when none was."""
    now, then = ({r.label: r for r in side} for side in (evidence.rehearsal.candidate, evidence.rehearsal.baseline))
    questions = {label.id: label.question for label in evidence.labels}
    judged = _texts(evidence, evidence.answers)
    return tuple(
        Asked(
            questions.get(label, label), _seconds(now.get(label)), _seconds(then.get(label)), _same(label, now, judged)
        )
        for label in dict.fromkeys([*now, *then])
    )


def _seconds(asked: Rehearsed | None) -> float | None:
    return asked.seconds if asked else None


def _same(label: str, now: dict[str, Rehearsed], judged: dict[str, str]) -> bool | None:
    return now[label].text == judged.get(label) if label in now else None


def _texts(evidence: Evidence, answers: Sequence[Answer]) -> dict[str, str]:
    return {label.id: answer.text for label, answer in zip(evidence.labels, answers, strict=True)}
