"""A judging model decides while it agrees with people; until then it is only reported."""

from math import nan

import pytest
from evaluation_fakes import QUICK

from tasks.core.gate import Gate
from tasks.core.gates.judge_trust import doubt_of, if_trusted
from tasks.core.judging import Agreement
from tasks.core.policy import JudgePolicy

POLICY = QUICK.model_copy(update={"judge": JudgePolicy(model="gpt", least_agreement=0.6, least_human_labels=30)})
GATE = Gate("floor-judged-faithfulness", "fail", "judged_faithfulness: 20.0 %.", 0.2, 0.3, 40)


def doubt(agreement: Agreement | None) -> str | None:
    known = {} if agreement is None else {"judged_faithfulness": agreement}
    return doubt_of("judged_faithfulness", known, POLICY)  # type: ignore[arg-type]


def test_other_metrics_need_no_judge() -> None:
    assert doubt_of("correct", {}, QUICK) is None
    assert if_trusted(GATE, "correct", {}, QUICK) is GATE


def test_enough_agreement_on_enough_answers_is_trusted() -> None:
    assert doubt(Agreement(0.8, 0.6, 30)) is None


@pytest.mark.parametrize(
    ("agreement", "said"),
    [
        (None, "no answer was judged by people too; it takes 30."),
        (Agreement(0.9, 0.8, 29), "people judged 29 answers; it takes 1 more before the judge may decide."),
        (
            Agreement(0.8, 0.59, 40),
            "the judge agrees with people on 40 answers by kappa 0.80, at least 0.59; it may decide from 0.60 on.",
        ),
        (
            Agreement(nan, nan, 40),
            "the judge agrees with people on 40 answers by kappa nan, at least nan; it may decide from 0.60 on.",
        ),
    ],
)
def test_less_is_a_doubt_that_says_what_is_missing(agreement: Agreement | None, said: str) -> None:
    assert doubt(agreement) == said


def test_a_policy_without_a_judge_trusts_none() -> None:
    known = {"judged_faithfulness": Agreement(0.9, 0.9, 99)}
    assert doubt_of("judged_faithfulness", known, QUICK) == "the policy has no judge."  # type: ignore[arg-type]
    gate = if_trusted(GATE, "judged_faithfulness", known, QUICK)  # type: ignore[arg-type]
    assert (gate.outcome, gate.reason) == (
        "reported",
        "Decides nothing: the policy has no judge. judged_faithfulness: 20.0 %.",
    )


def test_a_gate_by_a_judge_of_whom_nothing_is_known_decides_nothing() -> None:
    assert if_trusted(GATE, "judged_faithfulness", {}, POLICY).outcome == "reported"


def test_a_gate_by_a_judge_that_is_not_trusted_decides_nothing_and_keeps_its_numbers() -> None:
    gate = if_trusted(GATE, "judged_faithfulness", {"judged_faithfulness": Agreement(0.9, 0.8, 29)}, POLICY)
    assert (gate.outcome, gate.value, gate.bound, gate.n) == ("reported", 0.2, 0.3, 40)
    assert gate.reason == (
        "Decides nothing: people judged 29 answers; it takes 1 more before the judge may decide. "
        "judged_faithfulness: 20.0 %."
    )


def test_a_gate_by_a_judge_that_is_trusted_decides() -> None:
    trusted = {"judged_faithfulness": Agreement(0.9, 0.8, 30)}
    assert if_trusted(GATE, "judged_faithfulness", trusted, POLICY) is GATE  # type: ignore[arg-type]


def test_a_judge_that_could_not_be_asked_leaves_its_gate_undecided_where_people_have_judged_enough() -> None:
    silent = {"judged_faithfulness": Agreement(0.0, -1.0, 3, unheard=27)}
    gate = if_trusted(GATE, "judged_faithfulness", silent, POLICY)  # type: ignore[arg-type]
    assert gate.outcome == "undecided"
    assert "people judged 30 answers, and the judge could not be asked about 27." in gate.reason
    fewer = {"judged_faithfulness": Agreement(0.0, -1.0, 3, unheard=26)}
    assert if_trusted(GATE, "judged_faithfulness", fewer, POLICY).outcome == "reported"  # type: ignore[arg-type]
