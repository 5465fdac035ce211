from dataclasses import replace
from math import log2

import ir_measures
import pytest
from evaluation_fakes import golden_label, passages
from hypothesis import given
from hypothesis import strategies as st
from ir_measures import R, nDCG

from tasks.core.metrics.retrieval import ndcg, ndcg_at_k, ranked_documents, recall, recall_at_k
from tasks.core.metrics.score import Undefined

documents = st.lists(st.sampled_from("abcdefghij"), unique=True)


def test_arithmetic() -> None:
    assert recall_at_k(["x", "a", "b"], {"a", "b", "c"}, 2) == 1 / 3
    assert ndcg_at_k(["x", "a"], {"a"}, 2) == (1 / log2(3)) / (1 / log2(2))
    assert ndcg_at_k(["x", "a"], {"a"}, 1) == 0.0


@given(documents, st.sets(st.sampled_from("abcdefghij"), min_size=1), st.integers(1, 12))
def test_equal_to_ir_measures(ranked: list[str], relevant: set[str], k: int) -> None:
    qrels = [ir_measures.Qrel("q", document, 1) for document in sorted(relevant)]
    run = [ir_measures.ScoredDoc("q", document, float(-rank)) for rank, document in enumerate(ranked)]
    theirs = {m.measure: m.value for m in ir_measures.iter_calc([R @ k, nDCG @ k], qrels, run)} if run else {}
    assert recall_at_k(ranked, relevant, k) == pytest.approx(theirs.get(R @ k, 0.0), abs=1e-9)
    assert ndcg_at_k(ranked, relevant, k) == pytest.approx(theirs.get(nDCG @ k, 0.0), abs=1e-9)


def test_a_document_counts_once_where_its_best_passage_stands() -> None:
    first, second = passages(golden_label(1))
    assert ranked_documents([first, replace(first, marker=2), second]) == ["pumps/1.md", "oils.md"]


def test_undefined_is_said_and_never_zero() -> None:
    label = golden_label(1)
    shown = passages(label)
    assert isinstance(recall(replace(label, unanswerable=True), shown, 2), Undefined)
    assert isinstance(recall(label, (), 0), Undefined)
    assert isinstance(ndcg(replace(label, documents=()), shown, 2), Undefined)
    assert recall(label, (), 2) == 0.0  # retrieval was asked and found nothing


def test_a_label_without_pages_asks_whether_a_passage_holds_the_answer() -> None:
    label = replace(golden_label(1), documents=())
    shown = passages(golden_label(1))
    assert recall(label, shown, 2) == 1.0
    assert recall(label, shown[1:], 2) == 0.0
