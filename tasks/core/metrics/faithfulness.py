"""Whether an answer says only what the passages shown say, sentence by sentence."""

from __future__ import annotations

from tasks.core.answers import Answer
from tasks.core.metrics.entailment import entails
from tasks.core.metrics.score import Score, Undefined
from tasks.core.metrics.statements import statements_to_check


def faithfulness(answer: Answer, k: int) -> Score:
    """Share of the answer's sentences that the passages shown support, all of them together.

    As in RAGAS (Es et al. 2024), with sentences for claims and `entailment` for the model, whose limits are its own.
    It does not ask whether the answer is right or answers the question, so it is defined where no page answers, too.
    With passages to ask for and none found, nothing is supported.
    """
    made = statements_to_check(answer, k)
    if isinstance(made, Undefined):
        return made
    shown = [passage.text for passage in answer.contexts]
    return sum(entails(shown, one.text) for one in made) / len(made)
