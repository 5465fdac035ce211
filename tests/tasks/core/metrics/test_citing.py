"""Where an answer's markers lead, and whether what they lead to supports it."""

import re
from dataclasses import replace

import pytest
from evaluation_fakes import declines, golden_label, miscited, passages, perfect, says, uncited, wrong
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.answers import Answer, Passage
from tasks.core.citations import cite
from tasks.core.metrics.citing import citation, citation_precision, citation_recall, citation_valid
from tasks.core.metrics.entailment import entails
from tasks.core.metrics.retrieval import NO_RETRIEVAL
from tasks.core.metrics.score import CITES_NOTHING, DECLINED, IS_UNANSWERABLE, NOTHING_CLAIMED, Score

ASKED = golden_label(1)
PAGES = (
    "Halden 300\nThe Halden 300 runs at up to 42 bar.",
    "Halden 300\nThe Halden 300 weighs 30 kg.",
    "Oils\nUse grade 46.",
    "Halden 300\nAt most 42 bar is what the Halden 300 runs at.",
)
SHOWN = tuple(Passage(n, f"{n}.md", f"c-{n}", text, 1 / n, 0.5) for n, text in enumerate(PAGES, start=1))


def answered(raw: str) -> Answer:
    """As the assistant answers: markers that lead nowhere are taken out."""
    cited = cite(raw, SHOWN)
    return replace(
        perfect(ASKED),
        text=cited.text,
        raw=raw,
        contexts=SHOWN,
        citations=cited.citations,
        dangling_markers=cited.dangling,
    )


def both(raw: str) -> tuple[Score, Score]:
    return citation_recall(answered(raw), 4), citation_precision(answered(raw), 4)


# ── the right page ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_marker_that_leads_nowhere_spoils_the_citation() -> None:
    right = perfect(ASKED)
    assert citation(ASKED, right) == 1.0
    assert citation(ASKED, replace(right, dangling_markers=(7,))) == 0.0
    assert citation(ASKED, replace(right, text=right.text + " [7]")) == 0.0
    assert citation(ASKED, replace(right, contexts=())) == 0.0


def test_a_citation_of_another_passage_than_its_marker_names_is_refused() -> None:
    right = perfect(ASKED)
    swapped = replace(right.citations[0], chunk="c-oil", document="oils.md")
    assert citation(ASKED, replace(right, citations=(swapped,))) == 0.0


def test_markers_written_in_one_pair_of_brackets_are_citations_like_others() -> None:
    together = answered("The Halden 300 runs at 42 bar. [1, 3]")
    assert citation(replace(ASKED, documents=("1.md",)), together) == citation_valid(together) == 1.0


def test_a_label_without_pages_asks_whether_the_cited_passage_holds_the_answer() -> None:
    label = replace(ASKED, documents=())
    shown = passages(ASKED)
    assert citation(label, replace(says(ASKED, ASKED.answer), contexts=shown)) == 1.0
    assert citation(label, replace(miscited(ASKED), contexts=shown)) == 0.0


def test_declining_cites_no_page_and_where_no_page_answers_none_is_right() -> None:
    assert citation(ASKED, declines(ASKED)) == 0.0
    assert citation(replace(ASKED, unanswerable=True), perfect(ASKED)) == IS_UNANSWERABLE


# ── validity ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_markers_are_valid_when_each_leads_to_the_passage_that_is_cited_for_it() -> None:
    right = perfect(ASKED)
    swapped = replace(right.citations[0], document="oils.md")
    assert citation_valid(right) == citation_valid(wrong(ASKED)) == citation_valid(miscited(ASKED)) == 1.0
    assert citation_valid(answered("It runs at 42 bar. [1][9]")) == 0.0
    assert citation_valid(answered("It runs at 42 bar. [9]")) == 0.0
    assert citation_valid(replace(right, citations=(swapped,))) == 0.0
    assert citation_valid(replace(right, citations=())) == 0.0


def test_without_a_marker_there_is_nothing_to_be_valid() -> None:
    assert citation_valid(uncited(ASKED)) == CITES_NOTHING
    assert citation_valid(declines(ASKED)) == DECLINED


# ── recall and precision ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "recall", "precision"),
    [
        ("The Halden 300 runs at 42 bar. [1] The Halden 300 weighs 30 kg. [2]", 1, 1),
        ("The Halden 300 runs at 42 bar. [1] The Halden 300 weighs 30 kg.", 1 / 2, 1),
        ("The Halden 300 runs at 42 bar. The Halden 300 weighs 30 kg. [1][2]", 1 / 2, 1 / 2),  # each its own
        ("The Halden 300 runs at 42 bar. [1][3]", 1, 1 / 2),  # the oils help nothing
        ("The Halden 300 runs at 42 bar. [1][4]", 1, 1),  # each would do alone
        ("The Halden 300 runs at 42 bar and weighs 30 kg. [1, 2]", 1, 1),  # only together
        ("The Halden 300 runs at 42 bar and weighs 30 kg. [1, 2, 3]", 1, 2 / 3),
        ("The Halden 300 runs at 42 bar and weighs 30 kg. [1]", 0, 0),
        ("The Halden 300 runs at 45 bar. [1]", 0, 0),
        ("The Halden 300 never runs at 42 bar. [1]", 0, 0),
        ("The Halden 300 runs at 42 bar. [3]", 0, 0),
        ("The Halden 300 runs at 42 bar. [1][9]", 1, 1 / 2),  # [9] is not served, and was written
    ],
)
def test_recall_asks_every_sentence_and_precision_every_citation(text: str, recall: float, precision: float) -> None:
    assert both(text) == (recall, precision)


def test_an_answer_that_cites_nothing_lacks_recall_and_has_no_precision() -> None:
    assert both("The Halden 300 runs at 42 bar.") == (0.0, CITES_NOTHING)


def test_a_marker_left_in_the_text_that_leads_nowhere_supports_nothing() -> None:
    left = replace(answered("The Halden 300 runs at 42 bar. [1]"), text="The Halden 300 runs at 42 bar. [1][9]")
    assert (citation_recall(left, 4), citation_precision(left, 4)) == (0.0, 0.0)


@pytest.mark.parametrize("metric", [citation_recall, citation_precision])
def test_undefined_is_said_and_never_zero(metric) -> None:
    assert metric(declines(ASKED), 2) == DECLINED
    assert metric(perfect(ASKED), 0) == NO_RETRIEVAL
    assert metric(says(ASKED, "Yes."), 2) == NOTHING_CLAIMED


SENTENCES = (
    "The Halden 300 runs at 42 bar.",
    "The Halden 300 weighs 30 kg.",
    "The Halden 300 runs at 42 bar and weighs 30 kg.",
    "Use grade 46.",
    "It is made of brass.",
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(SENTENCES), st.sets(st.integers(1, 4))), min_size=1, max_size=4))
def test_the_values_are_those_of_the_published_procedure(said: list[tuple[str, set[int]]]) -> None:
    text = " ".join(one + "".join(f" [{n}]" for n in sorted(cites)) for one, cites in said)
    recall, precision = alce([(one, sorted(cites)) for one, cites in said])
    assert both(text) == (pytest.approx(recall), CITES_NOTHING if precision is None else pytest.approx(precision))


def alce(said: list[tuple[str, list[int]]]) -> tuple[float, float | None]:
    """Gao et al. 2023, section 3: recall by sentence, then a citation is irrelevant when it does not support alone (a)
    and the others support without it (b)."""
    supported = precise = 0
    for sentence, cites in said:
        if not cites or not entails([PAGES[n - 1] for n in cites], sentence):
            continue
        supported += 1
        for n in cites:
            alone = entails([PAGES[n - 1]], sentence)
            rest = [PAGES[m - 1] for m in cites if m != n]
            precise += not (not alone and bool(rest) and entails(rest, sentence))
    citations = sum(len(cites) for _, cites in said)
    return supported / len(said), precise / citations if citations else None


def test_the_sentences_of_the_procedure_are_read_one_by_one() -> None:
    assert all(re.fullmatch(r"[^.]+\.", sentence) for sentence in SENTENCES)
