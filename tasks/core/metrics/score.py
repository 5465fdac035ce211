"""A score: a value from 0 to 1, or undefined with the reason. Undefined is never zero and never a pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Metric = Literal["all_right", "correct", "citation", "style", "abstains", "answers", "right", "recall", "ndcg"]
METRICS: tuple[Metric, ...] = get_args(Metric)

MEANING: Mapping[Metric, str] = {
    "all_right": "correct, in style and rightly cited; or abstained in the exact words when it should",
    "correct": "answerable questions whose answer holds every fact",
    "citation": "answerable questions answered with a marker that leads to the right page",
    "style": "one sentence and its marker, or exactly the sentence that abstains",
    "abstains": "unanswerable questions it declined",
    "answers": "answerable questions it did not decline",
    "right": "correct, or declined when it should be",
    "recall": "share of the right pages among the passages shown",
    "ndcg": "the same, worth more the higher they stand",
}


@dataclass(frozen=True, slots=True)
class Undefined:
    """No value, and why."""

    reason: str


Score = float | Undefined
Scores = Mapping[Metric, Score]

IS_ANSWERABLE = Undefined("the question is answerable")
IS_UNANSWERABLE = Undefined("no page answers the question")


def yes(truth: bool) -> float:
    """1.0 or 0.0."""
    return 1.0 if truth else 0.0
