"""What every Judge promises. A new adapter joins by adding itself to `ADAPTERS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from judge_fakes import LexicalJudge
from openai_chat_fake import chat_server
from openai_embeddings_fake import KEY
from pydantic import SecretStr

from infra.adapters.openai_judge import OpenAiJudge, Prices
from tasks.core.judge_prompts import Malformed, asked_again, question_for, read_reply
from tasks.core.judging import Exhibit
from tasks.core.metrics.score import JUDGED, Metric
from tasks.core.ports import Judge

Opener = Callable[[], Judge]
ADAPTERS = ["lexical", "openai"]
HALF = Exhibit(
    "Does the pump reach 40 bar?",
    "The pump reaches 40 bar. Herons eat frogs in spring.",
    ("The pump reaches 40 bar.", "Use grade 46 oil."),
    "The pump reaches 40 bar.",
)


@pytest.fixture(params=ADAPTERS)
def opener(request: pytest.FixtureRequest) -> Iterator[Opener]:
    """Opens the adapter anew."""
    if request.param == "lexical":
        yield lambda: LexicalJudge(usd=0.01)
    else:
        with chat_server() as server:
            yield lambda: OpenAiJudge(
                "judge-mini", api_key=SecretStr(KEY), base_url=server.url, prices=Prices(prompt=1.0, completion=4.0)
            )


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("judged_faithfulness", 1 / 2),
        ("judged_relevancy", 2 / 4),
        ("judged_context_precision", 1.0),
        ("judged_context_recall", 1 / 1),
    ],
)
@pytest.mark.parametrize("repeat", [0, 1])
def test_every_metric_gets_a_reply_that_can_be_read_in_both_orders(
    opener: Opener, metric: Metric, value: float, repeat: int
) -> None:
    reply = opener().ask(question_for(metric, HALF, repeat))
    assert reply.ending == "whole"
    assert read_reply(metric, HALF, repeat, reply.text) == value


def test_the_same_question_gets_the_same_reply_from_every_instance(opener: Opener) -> None:
    one, other = opener(), opener()
    question = question_for("judged_faithfulness", HALF)
    assert one.fingerprint == other.fingerprint
    assert one.ask(question) == other.ask(question)


@pytest.mark.parametrize("metric", JUDGED)
def test_no_reply_costs_more_than_was_said_beforehand(opener: Opener, metric: Metric) -> None:
    judge, question = opener(), question_for(metric, HALF)
    assert 0 < judge.ask(question).cost_usd <= judge.most_usd(question)


def test_a_question_can_be_asked_again_after_a_reply_that_was_none(opener: Opener) -> None:
    question = asked_again(question_for("judged_faithfulness", HALF), Malformed("it is not JSON"))
    assert read_reply("judged_faithfulness", HALF, 0, opener().ask(question).text) == 1 / 2


def test_several_threads_ask_at_once(opener: Opener) -> None:
    judge, questions = opener(), [question_for(metric, HALF, n) for metric in JUDGED for n in range(4)]
    alone = [judge.ask(question).text for question in questions]
    with ThreadPoolExecutor(8) as pool:
        assert [reply.text for reply in pool.map(judge.ask, questions)] == alone
