"""Every score of one question: all of them, always, each a value or a reason."""

from dataclasses import replace
from math import log2

import pytest
from evaluation_fakes import ABSTENTION, declines, golden_label, miscited, perfect, uncited, wrong
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.answers import Answer, Citation, Passage
from tasks.core.labels import Label
from tasks.core.metrics.answer_format import NO_SCHEMA
from tasks.core.metrics.question import Marking, score_question
from tasks.core.metrics.score import JUDGED, MEANING, METRICS, NOT_JUDGED, Metric, Scores, Undefined

ASKED = golden_label(1)
HOPELESS = golden_label(2, unanswerable=True)


def scores(label: Label, answer: Answer, k: int = 2) -> Scores:
    return score_question(label, answer, Marking(ABSTENTION, k))


def defined(found: Scores) -> dict[str, float]:
    return {metric: score for metric, score in found.items() if not isinstance(score, Undefined)}


def test_a_perfect_answer_has_1_of_everything_that_applies_to_it() -> None:
    elsewhere = {"format", "abstains", "abstention_precision", *JUDGED}
    assert defined(scores(ASKED, perfect(ASKED))) == dict.fromkeys([m for m in METRICS if m not in elsewhere], 1.0)


def test_declining_what_cannot_be_answered_is_all_right() -> None:
    expected = dict.fromkeys(("all_right", "right", "style", "abstains", "abstention_precision"), 1.0)
    assert defined(scores(HOPELESS, declines(HOPELESS))) == expected


def test_declining_an_answerable_question_is_wrong_and_uncited_but_in_style() -> None:
    found = defined(scores(ASKED, declines(ASKED)))
    wanted = ("all_right", "right", "correct", "citation", "answers", "abstention_precision")
    assert [found[metric] for metric in wanted] == [0.0] * len(wanted)
    assert (found["style"], found["recall"]) == (1.0, 1.0)


def test_answering_what_cannot_be_answered_is_wrong() -> None:
    found = defined(scores(HOPELESS, wrong(HOPELESS)))
    assert (found["abstains"], found["right"], found["all_right"]) == (0, 0, 0)
    assert "correct" not in found


def test_declining_in_other_words_is_an_abstention_but_not_all_right() -> None:
    loose = replace(declines(HOPELESS), text="The handbook does not say that.")
    found = defined(scores(HOPELESS, loose))
    assert (found["abstains"], found["all_right"], found["style"]) == (1, 0, 0)


@pytest.mark.parametrize("answer", [uncited(ASKED), miscited(ASKED), wrong(ASKED)])
def test_all_right_needs_every_part(answer: Answer) -> None:
    assert scores(ASKED, answer)["all_right"] == 0.0


def test_each_score_stands_under_its_own_name() -> None:
    ideal = "Heavy, it runs at 42 bar."
    label = replace(ASKED, answer=ideal, documents=("a", "b", "c", "d", "e"), facts=("42 bar", "blue", "7 kg"))
    shown = tuple(
        Passage(n, page, f"c-{n}", "42 bar" if n == 4 else "tea", 0.5, 0.5) for n, page in enumerate("xayz", 1)
    )
    text = "It runs at 42 bar. [4] It is heavy. [1][4]"
    cited = tuple(Citation(n, shown[n - 1].document, f"c-{n}", "", 0.5) for n in (4, 1))
    found = scores(label, replace(perfect(label), text=text, contexts=shown, citations=cited), k=4)
    best = sum(1 / log2(rank + 1) for rank in range(1, 6))
    assert {metric: found[metric] for metric in ("recall", "mrr", "ndcg", "span_recall", "span_mrr", "span_ndcg")} == {
        "recall": 1 / 5,
        "mrr": 1 / 2,
        "ndcg": 1 / log2(3) / best,
        "span_recall": 1 / 3,
        "span_mrr": 1 / 4,
        "span_ndcg": 1 / log2(5) / 3,
    }
    assert (found["sufficiency"], found["correct"], found["key_facts"]) == (0.0, 0.0, 1 / 3)
    assert (found["citation_precision"], found["citation_recall"], found["citation_valid"]) == (1 / 3, 1 / 2, 1.0)
    assert (found["citation"], found["style"], found["faithfulness"]) == (0.0, 0.0, 1 / 2)
    assert (found["exact_match"], found["numbers"]) == (0.0, 1.0)
    assert (found["rouge_l"], found["token_f1"]) == (2 * 5 / (8 + 6), 2 * 6 / (8 + 6))


def test_the_form_is_that_of_the_policys_schema() -> None:
    asked = Marking(ABSTENTION, 2, {"type": "object"})
    said = [score_question(ASKED, replace(perfect(ASKED), text=text), asked)["format"] for text in ("{}", "[]")]
    assert said == [1.0, 0.0]
    assert scores(ASKED, perfect(ASKED))["format"] == NO_SCHEMA


def test_what_a_judge_gave_is_passed_on_with_its_reasons() -> None:
    refused = Undefined("the judge refused to judge this")
    judged: dict[Metric, float | Undefined] = {"judged_faithfulness": 0.75, "judged_relevancy": refused}
    found = score_question(ASKED, perfect(ASKED), Marking(ABSTENTION, 2, judged={ASKED.id: judged}))
    assert [found[metric] for metric in JUDGED] == [0.75, refused, NOT_JUDGED, NOT_JUDGED]
    assert [scores(ASKED, perfect(ASKED))[metric] for metric in JUDGED] == [NOT_JUDGED] * 4


def test_a_judge_cannot_change_what_is_measured() -> None:
    judged: dict[Metric, float | Undefined] = {"correct": 1.0}
    found = score_question(ASKED, wrong(ASKED), Marking(ABSTENTION, 2, judged={ASKED.id: judged}))
    assert found["correct"] == 0.0


def test_every_metric_says_what_it_means() -> None:
    assert list(MEANING) == list(METRICS)
    assert len(set(MEANING.values())) == len(METRICS)


# ── whatever comes ───────────────────────────────────────────────────────────────────────────────────────────────────

ODD = (
    "",
    " \n",
    ABSTENTION,
    "🙂 👍🏽",
    "[1]",
    "[1][99] [2, 3].",
    "It runs at 42 bar. [1] It never runs. [2]",
    '{"answer": "42 bar [1]"}',
    '{"answer": NaN}',
    "9" * 400,
    "-1e999 ½ ² ٣ −7,5 1'000'000.25",
    "No. Not. Never. Isn't?",
    "42 42 42 bar bar",
    "東京都は42バール。",
    "a\u0301 ﬁ Straße \u202e \x00 \ud83d",
    "[" * 2000,
)
texts = st.sampled_from(ODD) | st.text(max_size=40) | st.lists(st.sampled_from(ODD), max_size=3).map(" ".join)
pages = st.sampled_from(("a.md", "b.md", "pumps/1.md", ""))
some = st.integers(0, 4)
labels = st.builds(
    Label,
    id=st.just("l-1"),
    question=texts,
    answer=texts,
    documents=st.lists(pages, max_size=3).map(tuple),
    unanswerable=st.booleans(),
    facts=st.lists(texts, max_size=3).map(tuple),
    split=st.just("golden"),
    state=st.just("accepted"),
)
passages = st.builds(Passage, some, pages, st.just("c-1"), texts, st.just(0.5), st.just(0.5))
citations = st.builds(Citation, some, pages, st.just("c-1"), texts, st.just(0.5))
answered = st.builds(
    Answer,
    question=texts,
    text=texts,
    release=st.just("r-1"),
    snapshot=st.just(1),
    pattern=st.sampled_from(("rag", "tuned", "sequential")),
    abstained=st.booleans(),
    abstained_because=st.just(None),
    raw=texts,
    citations=st.lists(citations, max_size=2).map(tuple),
    contexts=st.lists(passages, max_size=12).map(tuple),
    dangling_markers=st.lists(some, max_size=2).map(tuple),
    confidence=st.just(0.5),
    prompt_tokens=st.just(0),
    completion_tokens=st.just(0),
)
schemas = st.sampled_from((None, {}, {"type": "object", "properties": {"answer": {"multipleOf": 0.1}}}))
markings = st.builds(Marking, abstention=texts, k=st.sampled_from((0, 1, 2, 12)), answer_schema=schemas)


@settings(max_examples=400, deadline=None)
@given(labels, answered, markings)
def test_every_metric_is_a_value_from_0_to_1_or_says_why_it_is_none(
    label: Label, answer: Answer, marking: Marking
) -> None:
    found = score_question(label, answer, marking)
    assert list(found) == list(METRICS)
    for metric, score in found.items():
        assert score.reason if isinstance(score, Undefined) else 0.0 <= score <= 1.0, metric


@settings(max_examples=200, deadline=None)
@given(labels, answered, markings)
def test_an_answer_that_declines_wins_nothing_where_a_page_answers(
    label: Label, answer: Answer, marking: Marking
) -> None:
    """It is 0 or undefined at everything that is asked of its text but the form."""
    label, answer = replace(label, unanswerable=False), replace(answer, abstained=True)
    found = defined(score_question(label, answer, marking))
    by_form = {"style", "format"}
    by_retrieval = {"recall", "mrr", "ndcg", "span_recall", "span_mrr", "span_ndcg", "sufficiency"}
    assert {metric for metric, score in found.items() if score > 0} <= by_form | by_retrieval
