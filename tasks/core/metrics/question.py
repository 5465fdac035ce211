"""Every score of one question."""

from __future__ import annotations

from tasks.core.answers import Answer
from tasks.core.labels import Label
from tasks.core.metrics.answer import abstains, answers, citation, correct, style
from tasks.core.metrics.retrieval import ndcg, recall
from tasks.core.metrics.score import Score, Scores, Undefined, yes


def score_question(label: Label, answer: Answer, *, abstention: str, k: int) -> Scores:
    """All metrics. abstention: the sentence that declines, in the release's exact words. k: passages it may show."""
    is_correct, in_style, is_cited = correct(label, answer), style(answer, abstention), citation(label, answer)
    declined = abstains(label, answer)
    return {
        "all_right": yes(answer.text.strip() == abstention)
        if label.unanswerable
        else _all_of(is_correct, in_style, is_cited),
        "correct": is_correct,
        "citation": is_cited,
        "style": in_style,
        "abstains": declined,
        "answers": answers(label, answer),
        "right": declined if label.unanswerable else is_correct,
        "recall": recall(label, answer.contexts, k),
        "ndcg": ndcg(label, answer.contexts, k),
    }


def _all_of(*parts: Score) -> Score:
    """The smallest part; undefined when one is and no other is already 0."""
    values = [part for part in parts if not isinstance(part, Undefined)]
    unknown = [part for part in parts if isinstance(part, Undefined)]
    if 0.0 in values or not unknown:
        return min(values)
    return unknown[0]
