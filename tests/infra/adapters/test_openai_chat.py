"""Hosted models over real HTTP: what is sent, what is believed, what is tried again, and what is done without."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from openai_embeddings_fake import KEY
from openai_hosted_fake import HostedServer, hosted_server
from pydantic import SecretStr

from infra.adapters.chat_by_kind import ChatByKind
from infra.adapters.openai_chat import OpenAiChat
from infra.adapters.openai_retries import Patience
from tasks.core.errors import BadSetting, CannotRetry, ModelUnavailable, NotFound
from tasks.core.ports import Message
from tasks.core.releases import ModelRef

PROMPT = [Message("system", 'If unsure, write exactly "I do not know."'), Message("user", "Question: what?")]
CHAT = "/chat/completions"


@pytest.fixture
def server() -> Iterator[HostedServer]:
    with hosted_server() as running:
        yield running


def chat(server: HostedServer, **settings: object) -> OpenAiChat:
    quick = Patience(seconds=5.0, first_wait_seconds=0.01)
    given = {"api_key": SecretStr(KEY), "base_url": server.url, "patience": quick} | settings
    return OpenAiChat("tiny-base", **given)  # type: ignore[arg-type]


def said(server: HostedServer, text: str, **settings: object):  # type: ignore[no-untyped-def]
    server.reader.told = {"what?": text}
    prompt = [PROMPT[0], Message("user", "No passages\nQuestion: what?")]
    models = chat(server, **settings)
    return models.open(models.base()).complete([prompt], max_new_tokens=48)[0]


def test_no_randomness_a_seed_and_the_limit_are_asked_for(server: HostedServer) -> None:
    said(server, "It is red.")
    [sent] = server.sent("POST", CHAT)
    assert (sent["temperature"], sent["seed"], sent["max_completion_tokens"]) == (0, 0, 48)
    assert [turn["role"] for turn in sent["messages"]] == ["system", "user"]


@pytest.mark.parametrize(
    ("written", "answer"),
    [("It is red.", "It is red."), ("\n It is red. \nAnything else?", "It is red."), ("  ", "")],
)
def test_an_answer_is_one_line(server: HostedServer, written: str, answer: str) -> None:
    assert said(server, written).text == answer


def test_tokens_are_those_the_server_counts(server: HostedServer) -> None:
    one = said(server, "It is red.")
    assert (one.prompt_tokens, one.completion_tokens) == (server.reader.count_tokens(server.reader.asked[-1][0]), 3)


def test_a_server_that_does_not_count_is_counted_here(server: HostedServer) -> None:
    server.usage = False
    one = said(server, "It is red.", count=lambda text: len(text.split()))
    assert one.completion_tokens == 3
    assert one.prompt_tokens > 0


@pytest.mark.parametrize(
    ("refuses", "left"),
    [
        ({"temperature"}, {"seed", "max_completion_tokens"}),
        ({"seed", "temperature"}, {"max_completion_tokens"}),
        ({"max_completion_tokens"}, {"temperature", "seed", "max_tokens"}),
    ],
)
def test_what_a_server_refuses_by_name_is_done_without_from_then_on(
    server: HostedServer, refuses: set[str], left: set[str]
) -> None:
    server.chat_refuses = frozenset(refuses)
    models = chat(server)
    model = models.open(models.base())
    model.complete([PROMPT], max_new_tokens=8)
    before = len(server.sent("POST", CHAT))
    model.complete([PROMPT], max_new_tokens=8)
    sent = server.sent("POST", CHAT)
    assert len(sent) == before + 1
    assert set(sent[-1]) - {"model", "messages"} == left


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_failure_is_waited_out(server: HostedServer, status: int) -> None:
    server.chat_faults = [status, status]
    assert said(server, "It is red.").text == "It is red."


def test_a_failure_that_stays_says_that_trying_later_may_help(server: HostedServer) -> None:
    server.chat_faults = [500] * 50
    with pytest.raises(ModelUnavailable, match="tiny-base"):
        said(server, "It is red.", patience=Patience(0.1, 0.02))


def test_an_error_among_many_prompts_ends_them_all(server: HostedServer) -> None:
    models = chat(server, lanes=2)
    model = models.open(models.base())
    server.chat_faults = [400]
    with pytest.raises(CannotRetry):
        model.complete([PROMPT] * 40, max_new_tokens=8)
    assert len(server.sent("POST", CHAT)) < 40


def test_a_wrong_key_is_a_setting_to_mend(server: HostedServer) -> None:
    models = chat(server, api_key=SecretStr("sk-other"))
    with pytest.raises(BadSetting, match="API key"):
        models.open(models.base())
    with pytest.raises(BadSetting, match="needs an API key"):
        OpenAiChat("gpt-4.1-mini")


def test_a_model_is_looked_up_once(server: HostedServer) -> None:
    models = chat(server)
    for _ in range(3):
        models.open(models.base())
    assert server.vendor.calls.count("model") == 1


def test_a_model_that_is_only_listed_is_found(server: HostedServer) -> None:
    from hosted_vendor import Refused

    server.vendor.refusals = {"model": [Refused(404, "Not Found")]}
    models = chat(server)
    assert models.open(models.base()).complete([PROMPT], max_new_tokens=8)[0].text == "I do not know."


def test_a_model_that_is_gone_says_to_roll_back(server: HostedServer) -> None:
    with pytest.raises(NotFound, match="ratchet rollback"):
        chat(server).open(ModelRef(kind="hosted", base="ft:gpt-4o-mini-2024-07-18:acme::1", base_digest=""))


def test_a_model_that_runs_here_is_none_of_the_servers(server: HostedServer) -> None:
    with pytest.raises(NotFound):
        chat(server).open(ModelRef(kind="base", base="tiny-base", base_digest="sha256-0"))


def test_fingerprints_tell_models_and_servers_apart_but_not_keys(server: HostedServer) -> None:
    models = chat(server)
    first = models.open(models.base()).fingerprint
    server.vendor.made.clear()
    other = models.open(ModelRef(kind="hosted", base="gpt-4o-mini-2024-07-18", base_digest="")).fingerprint
    with hosted_server() as elsewhere:
        there = chat(elsewhere)
        moved = there.open(there.base()).fingerprint
    assert len({first, other, moved}) == 3
    again = chat(server, api_key=SecretStr(KEY))
    assert again.open(again.base()).fingerprint == first


def test_each_release_is_answered_where_its_model_is(server: HostedServer) -> None:
    from chat_fakes import OneModel

    opened: list[str] = []

    def here() -> OneModel:
        opened.append("here")
        return OneModel()

    def there() -> OpenAiChat:
        opened.append("there")
        return chat(server)

    both = ChatByKind(here, there)
    assert opened == []
    assert both.open(both.base()).fingerprint == "reader-1"
    assert opened == ["here"]
    hosted = both.open(ModelRef(kind="hosted", base="tiny-base", base_digest=""))
    assert hosted.fingerprint.startswith("chat-openai-")
    assert opened == ["here", "there"]
