from dataclasses import replace

import pytest

from tasks.core.approval import Question, question, require_same_question
from tasks.core.errors import StaleComparison
from tasks.core.policy import Approval, HoldOverride, Policy
from tasks.core.promotion import Judgement, VerdictWord

ADA_MAY = HoldOverride(gates=("no-harm-*", "fresh"), who=("Ada",))


def judgement(verdict: VerdictWord = "PROMOTE", *doubts: str) -> Judgement:
    return Judgement("sha256-1", "r-new", "r-old", verdict, "g-1", (), doubts)


def asked(
    ask: str, verdict: VerdictWord, *doubts: str, new_model: bool = False, may_override: bool = True
) -> Question | None:
    policy = Policy(approval=Approval.model_validate({"ask": ask}), override=ADA_MAY)
    return question(judgement(verdict, *doubts), policy, new_model=new_model, may_override=may_override)


@pytest.mark.parametrize(
    ("ask", "new_model", "somebody"),
    [
        ("never", True, False),
        ("always", False, True),
        ("new-model", True, True),
        ("new-model", False, False),
        ("held", True, False),
    ],
)
def test_whether_a_proven_release_is_put_to_a_person_is_the_policys_word(
    ask: str, new_model: bool, somebody: bool
) -> None:
    found = asked(ask, "PROMOTE", new_model=new_model)
    assert (found is not None) == somebody
    assert found is None or found.accepts == ()


def test_a_hold_is_put_to_a_person_where_the_policy_lets_its_doubts_be_accepted() -> None:
    found = asked("held", "HOLD", "no-harm-correct", "fresh")
    assert found is not None
    assert found.accepts == ("no-harm-correct", "fresh")


@pytest.mark.parametrize("doubts", [("no-harm-correct", "pace"), ("no-leak",), ()])
def test_one_doubt_that_nobody_may_accept_is_enough_to_ask_nobody(doubts: tuple[str, ...]) -> None:
    assert asked("held", "HOLD", *doubts) is None
    everything = Policy(
        approval=Approval(ask="held"),
        override=HoldOverride(gates=("*",), who=("*",)),
    )
    asks = question(judgement("HOLD", *doubts), everything, new_model=False, may_override=True)
    assert (asks is None) == (doubts != ("no-harm-correct", "pace"))


def test_a_hold_is_not_put_to_anybody_where_nobody_offers_to_override() -> None:
    assert asked("always", "HOLD", "fresh", may_override=False) is None


def test_a_rejected_release_is_put_to_nobody() -> None:
    assert asked("always", "REJECT", new_model=True) is None


def test_the_same_release_against_the_same_on_the_same_questions_is_one_question() -> None:
    first = Question("r-new", judgement(), "")
    assert first.topic == Question("r-new", replace(judgement(), id="sha256-2"), "").topic
    assert first.topic != Question("r-new", replace(judgement(), baseline="r-other"), "").topic
    assert first.topic != Question("r-new", replace(judgement(), golden_set="g-2"), "").topic


def test_an_answer_holds_while_the_release_is_judged_to_the_same_end() -> None:
    seen, again = judgement("HOLD", "fresh", "pace"), replace(judgement("HOLD", "pace", "fresh"), id="sha256-2")
    assert seen != again
    require_same_question(Question("r-new", seen, ""), again)


@pytest.mark.parametrize(
    "newest",
    [
        None,
        judgement("PROMOTE"),
        judgement("HOLD", "fresh", "no-harm-correct"),
        replace(judgement("HOLD", "fresh"), baseline="r-other"),
        replace(judgement("HOLD", "fresh"), golden_set="g-2"),
    ],
)
def test_an_answer_is_void_once_the_release_is_judged_to_another_end(newest: Judgement | None) -> None:
    with pytest.raises(StaleComparison, match="Nothing was promoted"):
        require_same_question(Question("r-new", judgement("HOLD", "fresh"), ""), newest)
