"""Every score of one question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from tasks.core.answers import Answer
from tasks.core.labels import Label
from tasks.core.metrics import likeness, retrieval
from tasks.core.metrics.answer import abstains, abstention_precision, answers, correct, style
from tasks.core.metrics.answer_format import well_formed
from tasks.core.metrics.citing import citation, citation_precision, citation_recall, citation_valid
from tasks.core.metrics.faithfulness import faithfulness
from tasks.core.metrics.score import JUDGED, METRICS, NOT_JUDGED, Metric, Score, Scores, Undefined, yes


@dataclass(frozen=True, slots=True)
class Marking:
    """What scores depend on besides label and answer."""

    abstention: str  # the release's exact words for "the documents do not say"
    k: int  # passages the release may show; 0: it answers without any
    answer_schema: Mapping[str, JsonValue] | None = None  # JSON Schema of every answer; None: no such promise
    judged: Mapping[str, Mapping[Metric, Score]] = field(default_factory=dict)  # by label id, what a judge gave


def score_question(label: Label, answer: Answer, marking: Marking) -> Scores:
    """Every metric, in the order of METRICS: its value, or why it has none."""
    found = {
        **_of_the_answer(label, answer, marking),
        **_of_its_sources(label, answer, marking.k),
        **_of_the_passages(label, answer, marking.k),
        **{metric: marking.judged.get(label.id, {}).get(metric, NOT_JUDGED) for metric in JUDGED},
    }
    return {metric: found[metric] for metric in METRICS}


def _of_the_answer(label: Label, answer: Answer, marking: Marking) -> dict[Metric, Score]:
    is_correct, in_style = correct(label, answer), style(answer, marking.abstention)
    declined = abstains(label, answer)
    return {
        "all_right": yes(answer.text.strip() == marking.abstention)
        if label.unanswerable
        else _all_of(is_correct, in_style, citation(label, answer)),
        "right": declined if label.unanswerable else is_correct,
        "correct": is_correct,
        "exact_match": likeness.exact_match(label, answer),
        "token_f1": likeness.token_f1(label, answer),
        "rouge_l": likeness.rouge_l(label, answer),
        "numbers": likeness.numbers(label, answer),
        "key_facts": likeness.key_facts(label, answer),
        "style": in_style,
        "format": well_formed(answer, marking.answer_schema),
        "abstains": declined,
        "answers": answers(label, answer),
        "abstention_precision": abstention_precision(label, answer),
    }


def _of_its_sources(label: Label, answer: Answer, k: int) -> dict[Metric, Score]:
    return {
        "citation": citation(label, answer),
        "citation_valid": citation_valid(answer),
        "citation_precision": citation_precision(answer, k),
        "citation_recall": citation_recall(answer, k),
        "faithfulness": faithfulness(answer, k),
    }


def _of_the_passages(label: Label, answer: Answer, k: int) -> dict[Metric, Score]:
    shown = answer.contexts
    return {
        "recall": retrieval.recall(label, shown, k),
        "mrr": retrieval.mrr(label, shown, k),
        "ndcg": retrieval.ndcg(label, shown, k),
        "span_recall": retrieval.span_recall(label, shown, k),
        "span_mrr": retrieval.span_mrr(label, shown, k),
        "span_ndcg": retrieval.span_ndcg(label, shown, k),
        "sufficiency": retrieval.sufficiency(label, shown, k),
    }


def _all_of(*parts: Score) -> Score:
    """The smallest part; undefined when one is and no other is already 0."""
    values = [part for part in parts if not isinstance(part, Undefined)]
    unknown = [part for part in parts if isinstance(part, Undefined)]
    if 0.0 in values or not unknown:
        return min(values)
    return unknown[0]
