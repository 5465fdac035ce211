"""A score: a value from 0 to 1, or undefined with the reason. Undefined is never zero and never a pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Metric = Literal[
    "all_right",
    "right",
    "correct",
    "exact_match",
    "token_f1",
    "rouge_l",
    "numbers",
    "key_facts",
    "citation",
    "citation_valid",
    "citation_precision",
    "citation_recall",
    "faithfulness",
    "style",
    "format",
    "abstains",
    "answers",
    "abstention_precision",
    "recall",
    "mrr",
    "ndcg",
    "span_recall",
    "span_mrr",
    "span_ndcg",
    "sufficiency",
    "judged_faithfulness",
    "judged_relevancy",
    "judged_context_precision",
    "judged_context_recall",
]
METRICS: tuple[Metric, ...] = get_args(Metric)

MEANING: Mapping[Metric, str] = {
    "all_right": "correct, in style and rightly cited; or abstained in the exact words when it should",
    "right": "correct, or declined when it should be: effective accuracy",
    "correct": "answerable questions whose answer holds every fact",
    "exact_match": "the ideal answer word for word, as SQuAD compares",
    "token_f1": "words shared with the ideal answer, as SQuAD counts them",
    "rouge_l": "most words shared with the ideal answer in the same order, F1 (ROUGE-L)",
    "numbers": "the numbers of the ideal answer and no others",
    "key_facts": "share of the label's facts that the answer holds",
    "citation": "answerable questions answered with a marker that leads to the right page",
    "citation_valid": "every marker leads to a passage shown for this question, where any is written",
    "citation_precision": "share of the citations that their sentence needs for its support (ALCE)",
    "citation_recall": "share of the answer's sentences that their cited passages support (ALCE)",
    "faithfulness": "share of the answer's sentences that the passages shown support",
    "style": "one sentence and its marker, or exactly the sentence that abstains",
    "format": "valid JSON of the policy's schema, abstentions too",
    "abstains": "unanswerable questions it declined: the recall of abstention",
    "answers": "answerable questions it did not decline",
    "abstention_precision": "of the questions it declined, those that no page answers",
    "recall": "share of the right pages among the passages shown",
    "mrr": "one over the rank of the first right page, among the first ten pages shown",
    "ndcg": "the right pages, worth more the higher they stand among the first ten",
    "span_recall": "share of the label's facts in the passages shown",
    "span_mrr": "one over the rank of the first passage that holds a fact, among the first ten",
    "span_ndcg": "the label's facts, worth more the higher the first passage that holds them",
    "sufficiency": "the passages shown hold everything the ideal answer says",
    "judged_faithfulness": "share of the answer's claims that the passages support, by the judge",
    "judged_relevancy": "how far the answer answers the question, by the judge",
    "judged_context_precision": "relevant passages above irrelevant ones, by the judge",
    "judged_context_recall": "share of the ideal answer's claims that the passages hold, by the judge",
}

JUDGED: tuple[Metric, ...] = tuple(metric for metric in METRICS if metric.startswith("judged_"))


@dataclass(frozen=True, slots=True)
class Undefined:
    """No value, and why."""

    reason: str


Score = float | Undefined
Scores = Mapping[Metric, Score]

IS_ANSWERABLE = Undefined("the question is answerable")
IS_UNANSWERABLE = Undefined("no page answers the question")
DECLINED = Undefined("the answer declines, and so claims nothing")
NOT_DECLINED = Undefined("the answer does not decline")
NOTHING_CLAIMED = Undefined("the answer claims nothing")
CITES_NOTHING = Undefined("the answer cites nothing")
NOT_JUDGED = Undefined("no judge was asked")


def yes(truth: bool) -> float:
    """1.0 or 0.0."""
    return 1.0 if truth else 0.0
