from collections.abc import Sequence
from dataclasses import replace
from math import log2

import ir_measures
import pytest
from evaluation_fakes import golden_label, passages
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import RR, R, nDCG

from tasks.core.answers import Passage
from tasks.core.metrics.retrieval import (
    CUT,
    NO_SPAN,
    mrr,
    ndcg,
    ndcg_at_k,
    ranked_documents,
    recall,
    recall_at_k,
    rr_at_k,
    span_mrr,
    span_ndcg,
    span_recall,
    sufficiency,
)
from tasks.core.metrics.score import Undefined

LABEL = golden_label(1)
BY_DOCUMENT = (recall, mrr, ndcg)
BY_SPAN = (span_recall, span_mrr, span_ndcg, sufficiency)


def shown(*texts: str, documents: Sequence[str] = ()) -> list[Passage]:
    pages = documents or [f"{n}.md" for n in range(len(texts))]
    return [
        Passage(n, page, f"c-{n}", text, 1 / n, 0.5)
        for n, (page, text) in enumerate(zip(pages, texts, strict=True), start=1)
    ]


def pages(*documents: str) -> list[Passage]:
    return shown(*documents, documents=documents)


def test_arithmetic() -> None:
    assert recall_at_k(["x", "a", "b"], {"a", "b", "c"}, 2) == 1 / 3
    assert rr_at_k(["x", "y", "a"], {"a"}, 3) == 1 / 3
    assert rr_at_k(["x", "y", "a"], {"a"}, 2) == 0.0
    assert ndcg_at_k(["x", "a"], {"a"}, 2) == (1 / log2(3)) / (1 / log2(2))
    assert ndcg_at_k(["x", "a"], {"a"}, 1) == 0.0


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from("abcdefghijklmnop"), max_size=24),
    st.sets(st.sampled_from("abcdefghijklmnop"), min_size=1),
    st.integers(1, 24),
)
def test_equal_to_ir_measures_with_every_page_where_its_best_passage_stands(
    ranking: list[str], relevant: set[str], k: int
) -> None:
    best: dict[str, float] = {}
    for rank, document in enumerate(ranking[:k]):
        best[document] = max(best.get(document, -100.0), float(-rank))
    theirs = by_ir_measures(best, relevant, k)
    label, contexts = replace(LABEL, documents=tuple(relevant)), pages(*ranking)[:k]
    assert recall(label, contexts, k) == pytest.approx(theirs[R @ k], abs=1e-9)
    assert mrr(label, contexts, k) == pytest.approx(theirs[RR @ CUT], abs=1e-9)
    assert ndcg(label, contexts, k) == pytest.approx(theirs[nDCG @ CUT], abs=1e-9)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from("-ab+"), max_size=14), st.integers(1, 14))
def test_span_ndcg_and_mrr_are_those_of_ir_measures_for_the_first_passage_that_says_a_fact(
    said: list[str], k: int
) -> None:
    """'a' and 'b' say one fact each, '+' both."""
    facts = {"a": "40 bar", "b": "90 degrees"}
    texts = [" and ".join(fact for one, fact in facts.items() if mark in (one, "+")) or "tea" for mark in said]
    label = replace(LABEL, facts=tuple(facts.values()))
    run = {str(n): float(-n) for n in range(min(len(texts), k))}
    first = [next((str(n) for n, text in enumerate(texts[:k]) if fact in text), None) for fact in facts.values()]
    per_fact = [by_ir_measures(run, {one}, k)[nDCG @ CUT] if one else 0.0 for one in first]
    assert span_ndcg(label, shown(*texts), k) == pytest.approx(sum(per_fact) / len(facts), abs=1e-9)
    found = {one for one in first if one}
    expected = by_ir_measures(run, found, k)[RR @ CUT] if found else 0.0
    assert span_mrr(label, shown(*texts), k) == pytest.approx(expected, abs=1e-9)


def by_ir_measures(run: dict[str, float], relevant: set[str], k: int) -> dict[object, float]:
    qrels = [ir_measures.Qrel("q", document, 1) for document in sorted(relevant)]
    scored = [ir_measures.ScoredDoc("q", document, score) for document, score in run.items()]
    measures = [R @ k, RR @ CUT, nDCG @ CUT]
    found = {one.measure: one.value for one in ir_measures.iter_calc(measures, qrels, scored)} if scored else {}
    return {measure: found.get(measure, 0.0) for measure in measures}


def test_a_document_counts_once_where_its_best_passage_stands() -> None:
    first, second = passages(LABEL)
    assert ranked_documents([first, replace(first, marker=2), second]) == ["pumps/1.md", "oils.md"]
    label = replace(LABEL, documents=("b",))
    assert mrr(label, pages("a", "a", "a", "b", "b"), 5) == 1 / 2
    assert ndcg(label, pages("a", "a", "a", "b", "b"), 5) == 1 / log2(3)


def test_showing_one_more_passage_never_costs() -> None:
    """With nDCG cut at what each release shows, two right pages of three would be better than the same two and more."""
    label = replace(LABEL, documents=("a", "b", "c"))
    best = sum(1 / log2(rank + 1) for rank in (1, 2, 3))
    assert ndcg(label, pages("a", "b"), 2) == (1 / log2(2) + 1 / log2(3)) / best
    assert ndcg(label, pages("a", "b", "x", "y", "z"), 5) == ndcg(label, pages("a", "b"), 2)


def test_passages_beyond_the_tenth_page_do_not_count_for_ranks() -> None:
    label = replace(LABEL, documents=("b",), facts=("42 bar",))
    late = [*pages(*"cdefghijkl"), *shown("42 bar", documents=["b"])]
    assert (mrr(label, late, 11), ndcg(label, late, 11), recall(label, late, 11)) == (0.0, 0.0, 1.0)
    assert (span_mrr(label, late, 11), span_ndcg(label, late, 11), span_recall(label, late, 11)) == (0.0, 0.0, 1.0)


@pytest.mark.parametrize("metric", [*BY_DOCUMENT, *BY_SPAN])
def test_undefined_is_said_and_never_zero(metric) -> None:
    found = passages(LABEL)
    assert isinstance(metric(replace(LABEL, unanswerable=True), found, 2), Undefined)
    assert isinstance(metric(LABEL, (), 0), Undefined)
    assert metric(LABEL, (), 2) == 0.0  # retrieval was asked and found nothing


@pytest.mark.parametrize("metric", [mrr, ndcg])
def test_a_label_that_names_no_page_has_no_rank_of_one(metric) -> None:
    assert metric(replace(LABEL, documents=()), passages(LABEL), 2) == Undefined("the label names no page")


def test_a_label_without_pages_asks_whether_a_passage_holds_the_answer() -> None:
    label = replace(LABEL, documents=())
    assert recall(label, passages(LABEL), 2) == 1.0
    assert recall(label, passages(LABEL)[1:], 2) == 0.0


def test_spans_are_found_on_whatever_page_they_stand() -> None:
    label = replace(LABEL, facts=("42 bar", "90 °C", "24 months"))
    found = shown("Oils", "It runs at 42-bar.", "42 bar, 90°C", documents=["a.md", "b.md", "c.md"])
    assert span_recall(label, found, 3) == 2 / 3
    assert span_mrr(label, found, 3) == 1 / 2
    assert span_ndcg(label, found, 3) == (1 / log2(3) + 1 / log2(4)) / 3


def test_a_fact_that_is_repeated_gains_nothing() -> None:
    label = replace(LABEL, facts=("42 bar",))
    assert span_ndcg(label, shown("42 bar", "tea"), 2) == span_ndcg(label, shown("42 bar", "42 bar"), 2) == 1.0


def test_a_label_without_facts_has_its_ideal_answer_as_span() -> None:
    label = replace(LABEL, facts=(), answer="The pump runs at 42 bar.")
    found = shown("Use grade 46.", "Limits\nThe pump runs at up to 42 bar in winter.")
    assert (span_recall(label, found, 2), span_mrr(label, found, 2), sufficiency(label, found, 2)) == (1.0, 1 / 2, 1.0)
    assert (span_recall(label, found, 1), span_mrr(label, found, 1), sufficiency(label, found, 1)) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("metric", BY_SPAN)
@pytest.mark.parametrize("answer", ["Yes.", "🙂!", ""])
def test_a_label_without_facts_whose_answer_no_passage_can_hold_has_no_span(metric, answer: str) -> None:
    assert metric(replace(LABEL, facts=(), answer=answer), passages(LABEL), 2) == NO_SPAN


HALDEN = replace(LABEL, facts=("42 bar", "90 °C"), answer="The Halden 300 runs at 42 bar and 90 °C.")


@pytest.mark.parametrize(
    ("texts", "enough"),
    [
        (("Halden 300 > Limits\nIt runs at 42 bar and 90 °C.",), 1),
        (("Halden 300\nIt runs at 42 bar.", "Halden 300\nNever above 90 °C."), 1),
        (("Halden 300\nIt runs at 42 bar.",), 0),  # half
        (("Skerry 200\nIt runs at 42 bar and 90 °C.",), 0),  # of another machine
        (("Skerry 200\nIt runs at 42 bar and 90 °C.", "Halden 300\nIt is blue."), 0),  # the right one says neither
        ((), 0),
    ],
)
def test_passages_suffice_when_they_hold_every_fact_of_the_right_thing(texts: tuple[str, ...], enough: int) -> None:
    assert sufficiency(HALDEN, shown(*texts), 3) == enough


def test_without_facts_several_passages_may_suffice_together() -> None:
    label = replace(LABEL, facts=(), answer="The Halden 300 runs at 42 bar and weighs 30 kg.")
    both = shown("Halden 300\nThe Halden 300 runs at 42 bar.", "Halden 300\nThe Halden 300 weighs 30 kg.")
    assert [sufficiency(label, both[:n], 2) for n in (1, 2)] == [0.0, 1.0]
