"""A judge over real HTTP: what is sent, what is believed, what is tried again, and what is done without."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from openai_chat_fake import COMPLETION_TOKENS, PROMPT_TOKENS, ChatServer, Fault, chat_server
from openai_embeddings_fake import KEY
from pydantic import SecretStr

from infra.adapters.openai_judge import MOST_SILENT_TRIES, NO_KEY, Dialect, OpenAiJudge, Prices
from infra.adapters.openai_retries import Patience
from tasks.core.errors import BadSetting, CannotRetry, IntegrityFailure, ModelUnavailable, NotFound, UsageError
from tasks.core.judge_prompts import question_for
from tasks.core.judging import Exhibit

QUICK = Patience(seconds=60.0, first_wait_seconds=0.01)
QUESTION = question_for("judged_faithfulness", Exhibit("q?", "The pump is red.", ("The pump is red.",)), repeat=3)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server() as running:
        yield running


def judge(server: ChatServer, model: str = "judge-mini", **settings: object) -> OpenAiJudge:
    given = {"api_key": SecretStr(KEY), "base_url": server.url, "patience": QUICK} | settings
    return OpenAiJudge(model, **given)  # type: ignore[arg-type]


def test_a_schema_no_randomness_and_the_repeats_seed_are_asked_for(server: ChatServer) -> None:
    judge(server).ask(QUESTION)
    (sent,) = server.requests
    assert (sent["temperature"], sent["seed"], sent["max_completion_tokens"]) == (0, 3, 4096)
    assert sent["response_format"]["json_schema"] == {
        "name": "judged_faithfulness",
        "strict": True,
        "schema": QUESTION.schema,
    }
    assert [turn["role"] for turn in sent["messages"]] == ["system", "user"]


@pytest.mark.parametrize("by_name", [True, False])
@pytest.mark.parametrize(
    ("refuses", "sent"),
    [
        ({"json_schema"}, {"response_format": {"type": "json_object"}}),
        ({"response_format"}, {"response_format": None}),
        ({"temperature"}, {"temperature": None}),
        ({"seed"}, {"seed": None}),
        ({"max_completion_tokens"}, {"max_completion_tokens": None, "max_tokens": 4096}),
        ({"json_schema", "temperature", "seed"}, {"temperature": None, "seed": None}),
    ],
)
def test_what_a_server_refuses_by_name_is_done_without_from_then_on(
    server: ChatServer, refuses: set[str], sent: dict[str, object], by_name: bool
) -> None:
    server.refuses, server.by_name = frozenset(refuses), by_name
    asking = judge(server)
    reply = asking.ask(QUESTION)
    before = len(server.requests)
    assert asking.ask(QUESTION) == reply
    assert len(server.requests) == before + 1
    assert {name: server.requests[-1].get(name) for name in sent} == sent


@pytest.mark.parametrize(
    "fault",
    [
        Fault(400),
        Fault(
            400, code="context_length_exceeded", says="Too many tokens in the messages: lower max_completion_tokens."
        ),
        Fault(400, says="max_completion_tokens is too large: this model's context length is 2048."),
    ],
)
def test_another_refusal_of_the_request_is_not_answered_by_asking_for_less(server: ChatServer, fault: Fault) -> None:
    server.faults = [fault]
    asking = judge(server)
    with pytest.raises(UsageError, match="refused the request"):
        asking.ask(QUESTION)
    assert (len(server.requests), asking.dialect) == (1, Dialect())


def test_what_did_not_help_is_asked_for_again_the_next_time(server: ChatServer) -> None:
    server.faults = [Fault(400, says="Unsupported parameter: seed"), Fault(400, says="The prompt is not allowed.")]
    asking = judge(server)
    with pytest.raises(UsageError, match="not allowed"):
        asking.ask(QUESTION)
    assert asking.dialect == Dialect()


def test_a_models_name_is_no_parameter_that_was_refused(server: ChatServer) -> None:
    server.faults = [Fault(400, says="No.")]
    with pytest.raises(UsageError):
        judge(server, "seed-temperature-json_schema").ask(QUESTION)
    assert len(server.requests) == 1


def test_the_cost_is_of_the_tokens_the_server_bills(server: ChatServer) -> None:
    reply = judge(server, prices=Prices(prompt=2.0, completion=8.0)).ask(QUESTION)
    assert reply.cost_usd == (PROMPT_TOKENS * 2.0 + COMPLETION_TOKENS * 8.0) / 1_000_000


def test_a_server_that_bills_without_saying_is_counted_at_the_most_of_one_try(server: ChatServer) -> None:
    server.usage = False
    asking = judge(server, prices=Prices(prompt=2.0, completion=8.0))
    assert asking.ask(QUESTION).cost_usd == asking.most_usd(QUESTION) / MOST_SILENT_TRIES > 4096 * 8.0 / 1_000_000


@pytest.mark.parametrize(
    ("spoil", "ending"),
    [
        ("malformed", "whole"),
        ("empty", "whole"),
        ("parts", "whole"),
        ("truncated", "cut"),
        ("refusal", "refused"),
        ("filtered", "refused"),
    ],
)
def test_how_a_reply_ended_is_told(server: ChatServer, spoil: str, ending: str) -> None:
    server.faults = [Fault(spoil=spoil)]
    reply = judge(server, prices=Prices(1.0, 1.0)).ask(QUESTION)
    assert (reply.ending, reply.cost_usd) == (ending, (PROMPT_TOKENS + COMPLETION_TOKENS) / 1_000_000)
    assert isinstance(reply.text, str)


@pytest.mark.parametrize("spoil", ["html", "no choice", "no message", "no object"])
def test_what_is_no_completion_is_refused(server: ChatServer, spoil: str) -> None:
    server.faults = [Fault(spoil=spoil)]
    with pytest.raises(IntegrityFailure, match="base URL"):
        judge(server).ask(QUESTION)


@pytest.mark.parametrize("fault", [Fault(429, headers={"retry-after-ms": "5"}), Fault(500), Fault(503)])
def test_a_passing_failure_is_waited_out(server: ChatServer, fault: Fault) -> None:
    server.faults = [fault, fault]
    assert judge(server).ask(QUESTION).ending == "whole"
    assert len(server.requests) == 3


def test_a_rate_limit_is_waited_for_as_long_as_the_server_asks(server: ChatServer) -> None:
    server.faults = [Fault(429, headers={"retry-after": "0.3"})]
    began = time.monotonic()
    judge(server).ask(QUESTION)
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize("fault", [Fault(429, headers={"retry-after": "30"}), Fault(500)])
def test_a_failure_that_stays_says_that_trying_later_may_help(server: ChatServer, fault: Fault) -> None:
    server.faults = [fault] * 50
    with pytest.raises(ModelUnavailable, match="judge-mini"):
        judge(server, patience=Patience(0.1, 0.01)).ask(QUESTION)


@pytest.mark.parametrize("fault", [Fault(seconds=4.0), Fault(spoil="hang up")])
def test_a_request_that_was_never_answered_is_tried_once_more_and_counted_as_billed(
    server: ChatServer, fault: Fault
) -> None:
    server.faults = [fault]
    asking = judge(server, timeout_seconds=2.0, prices=Prices(prompt=2.0, completion=8.0))
    billed = (PROMPT_TOKENS * 2.0 + COMPLETION_TOKENS * 8.0) / 1_000_000
    assert asking.ask(QUESTION).cost_usd == asking.most_usd(QUESTION) / MOST_SILENT_TRIES + billed
    assert len(server.requests) == 2


def test_a_server_that_answers_no_request_is_not_fed_more_of_them(server: ChatServer) -> None:
    server.faults = [Fault(spoil="hang up")] * 9
    with pytest.raises(ModelUnavailable, match="took 2 requests and answered none"):
        judge(server).ask(QUESTION)
    assert len(server.requests) == MOST_SILENT_TRIES


def test_a_server_that_is_not_there_is_tried_for_as_long_as_patience_lasts_and_costs_nothing() -> None:
    nobody = OpenAiJudge("judge-mini", base_url="http://127.0.0.1:9/v1", patience=Patience(0.2, 0.01))
    with pytest.raises(ModelUnavailable, match=r"after the limit of 0\.2 s.*Run again later, or check the server"):
        nobody.ask(QUESTION)


@pytest.mark.parametrize(
    ("settings", "error"),
    [({"api_key": SecretStr("sk-other")}, BadSetting), ({"model": "no-such-model"}, NotFound)],
)
def test_a_wrong_key_and_a_wrong_model_are_told_apart_and_not_asked_twice(
    server: ChatServer, settings: dict[str, object], error: type[CannotRetry]
) -> None:
    with pytest.raises(error):
        judge(server, **settings).ask(QUESTION)  # type: ignore[arg-type]
    assert len(server.requests) == 1


def test_a_key_that_a_server_repeats_is_not_passed_on(server: ChatServer) -> None:
    server.faults = [Fault(401, says=f"Incorrect key {KEY}")]
    with pytest.raises(BadSetting) as refused:
        judge(server).ask(QUESTION)
    assert KEY not in str(refused.value)
    assert KEY not in refused.value.message
    assert "Incorrect key" in refused.value.message


@pytest.mark.parametrize("address", ["https://me:secret@judge.example.org/v1", "https://secret@judge.example.org/v1"])
def test_an_address_with_a_password_is_refused_because_evidence_would_keep_it(address: str) -> None:
    with pytest.raises(BadSetting, match="RATCHET_JUDGE_API_KEY") as refused:
        OpenAiJudge("judge-mini", base_url=address)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("address", ["judge.example.org/v1", "ftp://judge.example.org", "http://", ""])
def test_what_is_no_address_is_refused_before_it_is_waited_for(address: str) -> None:
    with pytest.raises(BadSetting, match=r"Write it like http://"):
        OpenAiJudge("judge-mini", base_url=address)


@pytest.mark.parametrize("key", [None, SecretStr("")])
def test_a_server_that_wants_no_key_gets_none_of_ours(server: ChatServer, key: SecretStr | None) -> None:
    server.key = NO_KEY
    assert judge(server, api_key=key).ask(QUESTION).ending == "whole"


def test_a_spent_quota_is_no_reason_to_wait(server: ChatServer) -> None:
    server.faults = [Fault(429, code="insufficient_quota")]
    with pytest.raises(CannotRetry, match="quota is used up"):
        judge(server).ask(QUESTION)
    assert len(server.requests) == 1


def test_the_fingerprint_tells_servers_and_models_apart_but_not_keys_and_prices(server: ChatServer) -> None:
    base = judge(server).fingerprint
    others = [judge(server, "other").fingerprint, judge(server, base_url="http://127.0.0.1:1/v1").fingerprint]
    assert len({base, *others}) == 3
    assert judge(server, api_key=SecretStr("another"), prices=Prices(9.0, 9.0)).fingerprint == base
    assert server.requests == []
