from dataclasses import replace

import pytest
from evaluation_fakes import ABSTENTION, declines, golden_label, miscited, passages, perfect, says, uncited, wrong

from tasks.core.metrics.answer import citation, correct, style
from tasks.core.metrics.question import score_question
from tasks.core.metrics.score import METRICS, Scores, Undefined

ASKED = golden_label(1)
HOPELESS = golden_label(2, unanswerable=True)


def scores(label, answer) -> Scores:
    return score_question(label, answer, abstention=ABSTENTION, k=2)


def defined(found: Scores) -> dict[str, float]:
    return {metric: score for metric, score in found.items() if not isinstance(score, Undefined)}


def test_every_metric_is_a_value_or_says_why_not() -> None:
    for label in (ASKED, HOPELESS):
        found = scores(label, perfect(label))
        assert set(found) == set(METRICS)
        assert all(score.reason if isinstance(score, Undefined) else 0 <= score <= 1 for score in found.values())


def test_a_perfect_answer() -> None:
    everything = dict.fromkeys(("all_right", "correct", "citation", "style", "answers", "right", "recall", "ndcg"), 1.0)
    assert defined(scores(ASKED, perfect(ASKED))) == everything


def test_declining_what_cannot_be_answered_is_all_right() -> None:
    assert defined(scores(HOPELESS, declines(HOPELESS))) == {"all_right": 1, "style": 1, "abstains": 1, "right": 1}


def test_declining_an_answerable_question_is_wrong_and_uncited_but_in_style() -> None:
    found = defined(scores(ASKED, declines(ASKED)))
    assert (found["correct"], found["citation"], found["answers"], found["all_right"], found["style"]) == (
        0,
        0,
        0,
        0,
        1,
    )


def test_answering_what_cannot_be_answered_is_wrong() -> None:
    found = defined(scores(HOPELESS, wrong(HOPELESS)))
    assert (found["abstains"], found["right"], found["all_right"]) == (0, 0, 0)
    assert "correct" not in found


def test_declining_in_other_words_is_an_abstention_but_not_all_right() -> None:
    loose = replace(declines(HOPELESS), text="The handbook does not say that.")
    found = defined(scores(HOPELESS, loose))
    assert (found["abstains"], found["all_right"], found["style"]) == (1, 0, 0)


@pytest.mark.parametrize("answer", [uncited(ASKED), miscited(ASKED), wrong(ASKED)])
def test_all_right_needs_every_part(answer) -> None:
    assert scores(ASKED, answer)["all_right"] == 0.0


def test_every_fact_must_occur() -> None:
    label = replace(ASKED, facts=("42 bar", "90 °C"))
    assert correct(label, says(label, "It runs at 42 bar.")) == 0.0
    assert correct(label, says(label, "It runs at 42 bar and 90 °C.")) == 1.0


def test_without_facts_numbers_and_most_words_must_agree() -> None:
    label = replace(ASKED, facts=(), answer="The pump reaches 42 bar in winter.")
    assert correct(label, says(label, "The pump reaches 42 bar.")) == 1.0
    assert correct(label, says(label, "The pump reaches 43 bar in winter.")) == 0.0
    assert correct(label, says(label, "42")) == 0.0


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("The Halden 300 runs at up to 42 bar. [2]", 1),
        ("The Halden 300 runs at up to 42 bar. [1][2]", 1),
        ("The Halden 300 runs at up to 42 bar. [1] [2]", 1),
        (ABSTENTION, 1),
        (f"{ABSTENTION} [1]", 1),  # a sentence and its marker: in style, though no abstention
        ("The Halden 300 runs at up to 42 bar.", 0),
        ("The Halden 300 runs at up to 42 bar [2]", 0),
        ("The Halden 300 runs at up to 42 bar [2].", 0),
        ("It runs at 42 bar. It is blue. [2]", 0),
        ("It runs at 42 bar. [1] It is blue. [2]", 0),
        ("It runs at 42 bar.\n[2]", 1),
        ("Limits\nIt runs at 42 bar. [2]", 0),
        ("[2]", 0),
        ("", 0),
    ],
)
def test_the_house_style(text: str, valid: int) -> None:
    assert style(replace(perfect(ASKED), text=text), ABSTENTION) == valid


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


def test_a_label_without_pages_asks_whether_the_cited_passage_holds_the_answer() -> None:
    label = replace(ASKED, documents=())
    shown = passages(ASKED)
    assert citation(label, replace(says(ASKED, ASKED.answer), contexts=shown)) == 1.0
    assert citation(label, replace(miscited(ASKED), contexts=shown)) == 0.0
