"""Questions whose answer changed with the documents are answered from the new text."""

import re

import pytest
from evaluation_fakes import QUICK, golden_labels, sheet

from tasks.core.comparison import Touch
from tasks.core.gate import Gate
from tasks.core.gates.freshness import fresh_gate
from tasks.core.metrics.score import Undefined
from tasks.core.policy import Policy

LOST = Undefined("the reply was lost")
Value = float | Undefined


def judged(now: list[Value], then: list[Value], touch: Touch = "answer", policy: Policy = QUICK) -> Gate:
    labels = golden_labels(len(now))
    touched = dict.fromkeys((label.id for label in labels), touch)
    return fresh_gate(sheet("r-new", labels, right=now), sheet("r-old", labels, right=then), touched, policy)


def fresh(better: int, worse: int, same: int = 0, policy: Policy = QUICK) -> Gate:
    now: list[Value] = [1.0] * better + [0.0] * (worse + same)
    then: list[Value] = [0.0] * better + [1.0] * worse + [0.0] * same
    return judged(now, then, policy=policy)


@pytest.mark.parametrize(
    ("better", "worse", "same", "chance", "outcome"),
    [
        (5, 0, 1, 1 / 2**5, "pass"),
        (4, 0, 1, 1 / 2**4, "undecided"),
        (8, 1, 4, (9 + 1) / 2**9, "pass"),
        (6, 1, 0, (7 + 1) / 2**7, "undecided"),
        (0, 0, 9, 1.0, "undecided"),
        (0, 4, 0, 1 / 2**4, "undecided"),
        (0, 5, 0, 1 / 2**5, "fail"),
        (1, 8, 0, (9 + 1) / 2**9, "fail"),
    ],
)
def test_an_exact_sign_test_over_the_questions_that_changed(
    better: int, worse: int, same: int, chance: float, outcome: str
) -> None:
    gate = fresh(better, worse, same)
    n = better + worse + same
    assert (gate.name, gate.outcome, gate.value, gate.n) == ("fresh", outcome, (better - worse) / n, n)
    assert gate.bound == round(chance, 6)
    assert gate.reason.startswith(
        f"Of {n} questions whose answer changed, {better} are right now and {worse} no longer."
    )
    assert ("Undecided" in gate.reason) == (outcome == "undecided")


@pytest.mark.parametrize("n", [1, 2, 4, 30])
def test_when_every_question_that_changed_is_right_few_are_enough(n: int) -> None:
    """Most edits change one or two answers, and no sign test could ever pass these."""
    gate = fresh(n, 0)
    said = {1: "The one question whose answer changed is right now."}
    assert gate == Gate(
        "fresh", "pass", said.get(n, f"All {n} questions whose answer changed are right now."), 1.0, n=n
    )
    assert judged([1.0] * n, [1.0] * n).outcome == "pass"  # the old release knew it already: no less known now


@pytest.mark.parametrize("wrong", [0.0, LOST])
def test_one_of_few_that_is_not_right_is_a_doubt(wrong: Value) -> None:
    assert judged([1.0, 1.0, wrong], [0.0] * 3).outcome == "undecided"


def test_a_doubt_says_how_many_more_have_to_be_right() -> None:
    for better, worse in ((4, 0), (0, 0), (3, 2), (0, 3)):
        [missing] = re.findall(r"Undecided: (\d+) more that are right now", fresh(better, worse, 9).reason)
        assert fresh(better + int(missing), worse, 1).outcome == "pass"
        assert fresh(better + int(missing) - 1, worse, 1).outcome != "pass"


def test_a_chance_of_exactly_alpha_is_small_enough() -> None:
    exact = QUICK.model_copy(update={"freshness_alpha": 1 / 2**5})
    assert [fresh(n, 0, 1, policy=exact).outcome for n in (4, 5)] == ["undecided", "pass"]
    assert [fresh(0, n, policy=exact).outcome for n in (4, 5)] == ["undecided", "fail"]
    assert "Undecided: 1 more" in fresh(4, 0, 1, policy=exact).reason


def test_the_policys_alpha_decides() -> None:
    lenient = QUICK.model_copy(update={"freshness_alpha": 0.5})
    assert (fresh(1, 0, 1).outcome, fresh(1, 0, 1, policy=lenient).outcome) == ("undecided", "pass")
    assert (fresh(0, 1).outcome, fresh(0, 1, policy=lenient).outcome) == ("undecided", "fail")


def test_pages_that_changed_around_the_answer_promise_nothing() -> None:
    gate = judged([0.0] * 9, [1.0] * 9, touch="page")
    assert gate == Gate("fresh", "pass", "Not required: no golden question's answer changed with the documents.")


def test_only_questions_that_changed_are_counted() -> None:
    labels = golden_labels(20)
    touched: dict[str, Touch] = dict.fromkeys((label.id for label in labels[:6]), "answer")
    now, then = [1.0] * 6 + [0.0] * 14, [0.0] * 6 + [1.0] * 14
    gate = fresh_gate(sheet("r-new", labels, right=now), sheet("r-old", labels, right=then), touched, QUICK)
    assert (gate.outcome, gate.n) == ("pass", 6)
    now[0] = 0.0
    gate = fresh_gate(sheet("r-new", labels, right=now), sheet("r-old", labels, right=then), touched, QUICK)
    assert (gate.outcome, gate.n) == ("pass", 6)  # five of six, by the sign test


def test_a_score_that_was_lost_is_a_question_that_is_wrong_now() -> None:
    assert judged([1.0] * 8 + [0.0], [0.0] * 8 + [1.0]).outcome == "pass"
    assert judged([1.0] * 6 + [LOST] * 3, [0.0] * 6 + [1.0] * 3).outcome == "undecided"
    assert judged([1.0] * 6 + [0.0], [LOST] * 7).outcome == "undecided"  # it may have been right all along
