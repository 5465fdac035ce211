"""Asking a judge: once in a life, within a budget, and what happens to replies that are none."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from document_fakes import new_catalog
from hypothesis import given, settings
from hypothesis import strategies as st
from judge_fakes import LexicalJudge, MemoryRulings, lexical_reply

from infra.adapters.catalog.judgements import CatalogRulings
from tasks.core.errors import (
    BadSetting,
    CannotRetry,
    CatalogUnavailable,
    IntegrityFailure,
    ModelUnavailable,
    NotFound,
    RatchetError,
    Stopped,
    UsageError,
)
from tasks.core.judging import Exhibit
from tasks.core.metrics.score import JUDGED, Undefined
from tasks.core.policy import JudgePolicy
from tasks.core.ports import JudgeQuestion, JudgeReply
from tasks.documents import stopping
from tasks.judge_asking import AT_ONCE, MOST_REFUSED, Ruling, RulingCache
from tasks.judge_sitting import NOT_ASKED_YET, OUT_OF_BUDGET, Sitting, Wanted, recall_rulings, sit

TRUE = Exhibit("How hot?", "It is 40 degrees warm.", ("It is 40 degrees warm.", "Use oil."), "40 degrees.")
FAITHFULNESS = "judged_faithfulness"
NONSENSE = "It is faithful, I would say 1.0."
DOWN = ModelUnavailable("The judge cannot be used now. Run again later.")


def rules(*, repeats: int = 1, budget_usd: float = 100.0) -> JudgePolicy:
    return JudgePolicy(model="judge", repeats=repeats, budget_usd=budget_usd)


def wanted(count: int) -> list[Wanted]:
    """As many different things; the judge agrees with each."""
    return [
        (FAITHFULNESS, Exhibit(f"Question {n}?", f"Pump {n} is red.", (f"Pump {n} is red.",))) for n in range(count)
    ]


def first(
    reply: str | JudgeReply | BaseException,
) -> Callable[[JudgeQuestion, int], str | JudgeReply | BaseException | None]:
    """The first question gets this."""
    return lambda question, number: reply if number == 1 else None


def values(sitting: Sitting, listed: list[Wanted]) -> list[object]:
    return [score for one in listed for score in sitting.scores(*one)]


@pytest.fixture(params=["memory", "catalog"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> RulingCache:
    return MemoryRulings() if request.param == "memory" else CatalogRulings(new_catalog(tmp_path))


# ── once in a life ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_a_judge_said_is_not_asked_again(cache: RulingCache) -> None:
    every: list[Wanted] = [(metric, TRUE) for metric in JUDGED]
    asked, again = LexicalJudge(usd=1.0), LexicalJudge(usd=1.0)
    heard = sit(asked, cache, rules(repeats=2), every)
    assert len(asked.asked) == 4 * 2
    assert values(sit(again, cache, rules(repeats=2, budget_usd=0), every), every) == values(heard, every)
    assert again.asked == []


def test_the_same_thing_wanted_twice_is_asked_once(cache: RulingCache) -> None:
    judge = LexicalJudge()
    sit(judge, cache, rules(), [(FAITHFULNESS, TRUE), ("judged_relevancy", TRUE), (FAITHFULNESS, TRUE)])
    assert len(judge.asked) == 2


@pytest.mark.parametrize(
    ("name", "repeats", "more"),
    [("other", 1, 1), ("lexical", 3, 2), ("lexical", 1, 0)],
    ids=["another judge", "two more repeats", "another price"],
)
def test_only_what_was_not_said_is_asked(cache: RulingCache, name: str, repeats: int, more: int) -> None:
    sit(LexicalJudge(usd=1.0), cache, rules(), [(FAITHFULNESS, TRUE)])
    judge = LexicalJudge(usd=9.0, name=name)
    sit(judge, cache, rules(repeats=repeats), [(FAITHFULNESS, TRUE)])
    assert len(judge.asked) == more


def test_every_second_repeat_sees_the_passages_in_reverse(cache: RulingCache) -> None:
    judge = LexicalJudge()
    sit(judge, cache, rules(repeats=3), [("judged_context_precision", TRUE)])
    texts = sorted((question.seed, question.prompt[1].content) for question in judge.asked)
    warm_first = [text.index("It is 40") < text.index("Use oil") for _, text in texts]
    assert warm_first == [True, False, True]


def test_recalling_asks_nothing_and_says_what_is_not_known(cache: RulingCache) -> None:
    judge, listed = LexicalJudge(), wanted(2)
    sit(judge, cache, rules(), listed[:1])
    recalled = recall_rulings(judge, cache, 1, listed)
    assert len(judge.asked) == 1
    assert values(recalled, listed) == [1.0, NOT_ASKED_YET]
    assert [recalled.heard(*one) for one in listed] == [True, False]


def test_what_was_heard_before_a_run_died_is_kept(cache: RulingCache) -> None:
    listed = wanted(10)
    dying = LexicalJudge(instead=lambda question, number: MemoryError() if number == 6 else None)
    with pytest.raises(MemoryError):
        sit(dying, cache, rules(), listed)
    after = LexicalJudge()
    assert values(sit(after, cache, rules(), listed), listed) == [1.0] * 10
    assert len(after.asked) == 10 - (len(dying.asked) - 1)
    assert len(dying.asked) >= 6


KILLED = """
import os, sys
from judge_fakes import LexicalJudge
from infra.adapters.catalog.database import engine_for
from infra.adapters.catalog.judgements import CatalogRulings
from tasks.core.judging import Exhibit
from tasks.core.policy import JudgePolicy
from tasks.judge_sitting import sit
dies = LexicalJudge(instead=lambda question, number: os._exit(9) if number == 9 else None)
exhibits = [Exhibit(f"Question {n}?", f"Pump {n} is red.", (f"Pump {n} is red.",)) for n in range(20)]
wanted = [("judged_faithfulness", exhibit) for exhibit in exhibits]
sit(dies, CatalogRulings(engine_for(sys.argv[1])), JudgePolicy(model="judge"), wanted)
"""


def test_a_process_that_is_killed_has_paid_for_what_it_kept(tmp_path: Path) -> None:
    engine = new_catalog(tmp_path)
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(engine.url)], env=os.environ | {"PYTHONPATH": path}, check=False
    )
    assert done.returncode == 9
    after = LexicalJudge()
    sit(after, CatalogRulings(engine), rules(), wanted(20))
    assert 20 - 8 - (AT_ONCE - 1) <= len(after.asked) <= 20 - 8


def test_a_catalog_that_cannot_keep_a_ruling_is_no_fault_of_the_judge() -> None:
    class Full(MemoryRulings):
        def put(self, key: str, ruling: Ruling) -> None:
            raise CatalogUnavailable("The disk is full.")

    with pytest.raises(CatalogUnavailable):
        sit(LexicalJudge(), Full(), rules(), wanted(1))


# ── the budget ───────────────────────────────────────────────────────────────────────────────────────────────────────

REPLIES = (None, NONSENSE, JudgeReply("no", "refused", 0.5), JudgeReply("{", "cut", 1.0), DOWN, UsageError("Too long."))


@settings(max_examples=60, deadline=None)
@given(
    st.floats(0, 30),
    st.integers(1, 12),
    st.integers(1, 3),
    st.floats(0, 1),
    st.lists(st.sampled_from(REPLIES), min_size=1, max_size=9),
)
def test_no_budget_is_ever_exceeded(budget: float, count: int, repeats: int, share: float, replies: list) -> None:
    judge = LexicalJudge(usd=1.0, share_of_most=share, instead=lambda question, number: replies[number % len(replies)])
    sit(judge, MemoryRulings(), rules(repeats=repeats, budget_usd=budget), wanted(count))
    assert judge.billed_usd <= budget + 1e-9


def test_as_many_are_asked_as_surely_fit(cache: RulingCache) -> None:
    judge, listed = LexicalJudge(usd=1.0), wanted(9)
    found = sit(judge, cache, rules(budget_usd=5.5), listed)
    assert judge.billed_usd == 4.0  # the fifth could have cost 2 with asking again, and 1.5 were left
    assert values(found, listed) == [1.0] * 4 + [OUT_OF_BUDGET] * 5
    assert found.unfinished == (
        "5 of 9 questions to the judge were not asked. $4.0000 were spent, the next one could cost $2.0000, and the "
        "limit is $5.5000; policy.judge.budget_usd raises it. What was paid for is kept: evaluate again to go on."
    )


def test_the_next_run_goes_on_where_the_budget_ended(cache: RulingCache) -> None:
    judge, listed = LexicalJudge(usd=1.0), wanted(9)
    while sit(judge, cache, rules(budget_usd=4.0), listed).unfinished:
        pass
    assert len(judge.asked) == judge.billed_usd == 9


def test_nothing_is_asked_without_a_budget_unless_it_is_free(cache: RulingCache) -> None:
    priced, free = LexicalJudge(usd=0.01), LexicalJudge()
    assert values(sit(priced, cache, rules(budget_usd=0), wanted(2)), wanted(2)) == [OUT_OF_BUDGET] * 2
    assert values(sit(free, cache, rules(budget_usd=0), wanted(2)), wanted(2)) == [1.0] * 2
    assert (len(priced.asked), len(free.asked)) == (0, 2)


# ── replies that are none ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("reply", [NONSENSE, JudgeReply('{"claims": [', "cut", 1.0)])
def test_a_reply_that_is_none_is_asked_for_once_more(cache: RulingCache, reply: str | JudgeReply) -> None:
    judge = LexicalJudge(usd=1.0, instead=first(reply))
    found = sit(judge, cache, rules(), wanted(1))
    assert values(found, wanted(1)) == [1.0]
    assert [(one.calls, one.cost_usd) for one in found.rulings.values()] == [(2, 2.0)]
    once, again = judge.asked
    assert again.prompt[: len(once.prompt)] == once.prompt
    assert NONSENSE not in again.prompt[-1].content


@pytest.mark.parametrize(
    ("reply", "why"),
    [(NONSENSE, "it is not JSON"), (JudgeReply("{", "cut", 1.0), "it was cut off before its end")],
)
def test_a_second_reply_that_is_none_leaves_no_value_and_is_not_paid_again(
    cache: RulingCache, reply: str | JudgeReply, why: str
) -> None:
    judge = LexicalJudge(usd=1.0, instead=lambda question, number: reply)
    for _ in range(2):
        found = sit(judge, cache, rules(), wanted(1))
        assert values(found, wanted(1)) == [Undefined(f"the judge's reply could not be used, twice: {why}")]
        assert (len(judge.asked), found.unfinished) == (2, None)


def test_a_refusal_leaves_no_value_and_is_not_argued_with(cache: RulingCache) -> None:
    judge = LexicalJudge(instead=lambda question, number: JudgeReply("I cannot.", "refused", 0.0))
    for _ in range(2):
        found = sit(judge, cache, rules(), wanted(1))
        assert values(found, wanted(1)) == [Undefined("the judge refused to judge this")]
        assert len(judge.asked) == 1


# ── a judge that cannot be asked ─────────────────────────────────────────────────────────────────────────────────────


def test_a_judge_that_goes_down_ends_the_asking_and_what_it_said_is_kept(cache: RulingCache) -> None:
    judge, listed = LexicalJudge(usd=1.0, instead=lambda q, number: DOWN if number > AT_ONCE else None), wanted(20)
    found = sit(judge, cache, rules(), listed)
    assert len(judge.asked) == 2 * AT_ONCE
    why = "The judge cannot be used now. Run again later"
    assert values(found, listed) == [
        *[1.0] * 4,
        *[Undefined(f"the judge could not be asked: {why}")] * 4,
        *[Undefined(f"the judge was not asked any more: {why}")] * 12,
    ]
    assert found.unfinished == (
        "4 of 20 questions to the judge got no reply. 12 of 20 questions to the judge were not asked. "
        f"{why}. What was paid for is kept: evaluate again to go on."
    )
    back = LexicalJudge(usd=1.0)
    assert values(sit(back, cache, rules(), listed), listed) == [1.0] * 20
    assert len(back.asked) == 16


@pytest.mark.parametrize(
    "error",
    [
        BadSetting("The key was refused."),
        NotFound("No such model."),
        CannotRetry("The quota is used up."),
        IntegrityFailure("Not OpenAI's format."),
    ],
)
def test_what_is_the_same_for_every_question_ends_the_asking_at_once(cache: RulingCache, error: RatchetError) -> None:
    judge, listed = LexicalJudge(instead=first(error)), wanted(20)
    found = sit(judge, cache, rules(), listed)
    assert len(judge.asked) == AT_ONCE
    assert found.unfinished is not None
    assert error.message in found.unfinished


@pytest.mark.parametrize("error", [UsageError("The question is too long."), DOWN])
def test_what_may_be_one_questions_own_fault_costs_that_question_alone(cache: RulingCache, error: RatchetError) -> None:
    def instead(question: JudgeQuestion, number: int) -> BaseException | None:
        return error if "Question 5?" in question.prompt[1].content else None

    judge, listed = LexicalJudge(instead=instead), wanted(20)
    found = sit(judge, cache, rules(), listed)
    said = error.message.rstrip(".")
    assert [n for n, value in enumerate(values(found, listed)) if value != 1.0] == [5]
    assert found.scores(*listed[5]) == [Undefined(f"the judge could not be asked: {said}")]
    assert found.unfinished == (
        f"1 of 20 questions to the judge got no reply. The first: the judge could not be asked: {said}. "
        "What was paid for is kept: evaluate again to go on."
    )


def test_a_judge_that_refuses_everything_is_not_asked_everything(cache: RulingCache) -> None:
    judge = LexicalJudge(instead=lambda question, number: UsageError("Unknown parameter."))
    found = sit(judge, cache, rules(), wanted(200))
    assert MOST_REFUSED <= len(judge.asked) < MOST_REFUSED + AT_ONCE
    assert found.unfinished is not None
    assert "Unknown parameter." in found.unfinished


def test_many_questions_that_are_too_long_do_not_end_the_asking(cache: RulingCache) -> None:
    judge = LexicalJudge(instead=lambda question, number: None if number == 1 else UsageError("Too long."))
    sit(judge, cache, rules(), wanted(100))
    assert len(judge.asked) == 100


def test_a_long_message_is_cut_where_every_score_carries_it() -> None:
    judge = LexicalJudge(instead=lambda question, number: ModelUnavailable("x" * 5_000))
    [lost, never] = [sit(judge, MemoryRulings(), rules(), wanted(9)).scores(*wanted(9)[n])[0] for n in (0, 8)]
    assert isinstance(lost, Undefined)
    assert isinstance(never, Undefined)
    assert len(lost.reason) < 300 > len(never.reason)


# ── the run around it ────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def stopped_by(stop: threading.Event) -> Iterator[None]:
    token = stopping.set(stop)
    try:
        yield
    finally:
        stopping.reset(token)


def test_a_run_that_is_to_end_stops_spending_and_keeps_what_was_said(cache: RulingCache) -> None:
    stop = threading.Event()

    def instead(question: JudgeQuestion, number: int) -> None:
        if number == AT_ONCE:
            stop.set()

    with stopped_by(stop), pytest.raises(Stopped, match="is kept"):
        sit(LexicalJudge(instead=instead), cache, rules(), wanted(20))
    after = LexicalJudge()
    sit(after, cache, rules(), wanted(20))
    assert len(after.asked) == 20 - AT_ONCE


def test_a_run_that_is_to_end_still_ends_where_nothing_is_left_to_ask(cache: RulingCache) -> None:
    sit(LexicalJudge(), cache, rules(), wanted(3))
    stop = threading.Event()
    stop.set()
    with stopped_by(stop):
        assert sit(LexicalJudge(), cache, rules(), wanted(3)).unfinished is None


def test_progress_counts_what_is_known_and_ends_at_the_total(cache: RulingCache) -> None:
    sit(LexicalJudge(), cache, rules(), wanted(2))
    told: list[tuple[str, int, int]] = []
    sit(LexicalJudge(), cache, rules(), wanted(9), lambda what, done, total: told.append((what, done, total)))
    assert told == [("judging", 2 + AT_ONCE, 9), ("judging", 9, 9)]


def test_the_fake_judge_says_what_a_model_would() -> None:
    judge = LexicalJudge()
    sit(judge, MemoryRulings(), rules(), [(FAITHFULNESS, TRUE)])
    [question] = judge.asked
    assert '"supported": true' in lexical_reply(question.prompt, question.name)
