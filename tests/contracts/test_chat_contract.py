"""What every ChatModels promises, here on a fake and on hosted models. A new adapter joins by adding to `ADAPTERS`."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from chat_fakes import OneModel
from openai_embeddings_fake import KEY
from openai_hosted_fake import hosted_server
from pydantic import SecretStr

from infra.adapters.openai_chat import OpenAiChat
from tasks.core.answers import Passage
from tasks.core.errors import NotFound
from tasks.core.ports import ChatModels, Message
from tasks.core.prompts import default_prompt, render, with_examples

ADAPTERS = ["reader", "openai"]
PROMPT = with_examples(default_prompt(), ())
SHOWN = (Passage(1, "pump.md", "c-1", "Pump\nThe bilge pump moves 90 litres of water per minute.", 0.0, 0.0),)
PROMPTS = [
    render(PROMPT, SHOWN, "How many litres of water does the bilge pump move?"),
    render(PROMPT, SHOWN, "Who painted the ceiling?"),
    render(PROMPT, (), "What does the bilge pump move?"),
]
ANSWERS = ["The bilge pump moves 90 litres of water per minute. [1]", PROMPT.abstention, PROMPT.abstention]


@pytest.fixture(params=ADAPTERS)
def models(request: pytest.FixtureRequest) -> Iterator[ChatModels]:
    if request.param == "reader":
        yield OneModel()
        return
    with hosted_server() as server:
        yield OpenAiChat("tiny-base", api_key=SecretStr(KEY), base_url=server.url)


def test_every_prompt_gets_its_answer_in_order(models: ChatModels) -> None:
    written = models.open(models.base()).complete(PROMPTS, max_new_tokens=48)
    assert [one.text for one in written] == ANSWERS
    assert all(one.prompt_tokens > 0 and 0 < one.completion_tokens <= 48 for one in written)


def test_no_prompts_get_no_answers(models: ChatModels) -> None:
    assert models.open(models.base()).complete([], max_new_tokens=48) == []


def test_the_same_prompts_get_the_same_answers_one_by_one_and_from_many_threads(models: ChatModels) -> None:
    model = models.open(models.base())
    together = [one.text for one in model.complete(PROMPTS * 4, max_new_tokens=48)]
    with ThreadPoolExecutor(6) as pool:
        alone = list(pool.map(lambda prompt: model.complete([prompt], max_new_tokens=48)[0].text, PROMPTS * 4))
    assert alone == together


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_pieces_of_a_stream_are_the_answer(models: ChatModels, prompt: tuple[Message, ...]) -> None:
    model = models.open(models.base())
    pieces = list(model.stream(prompt, max_new_tokens=48))
    assert "".join(pieces) == model.complete([prompt], max_new_tokens=48)[0].text
    assert len(pieces) > 1


def test_an_answer_that_is_cut_shows_in_its_tokens(models: ChatModels) -> None:
    [cut] = models.open(models.base()).complete(PROMPTS[:1], max_new_tokens=3)
    assert cut.completion_tokens >= 3
    assert ANSWERS[0].startswith(cut.text)


def test_progress_reaches_the_end(models: ChatModels) -> None:
    seen: list[tuple[int, int]] = []
    models.open(models.base()).complete(
        PROMPTS, max_new_tokens=8, progress=lambda _what, done, total: seen.append((done, total))
    )
    assert seen[-1] == (3, 3)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_longer_prompts_have_more_tokens(models: ChatModels) -> None:
    model = models.open(models.base())
    short, long = ([Message("user", "word " * n)] for n in (2, 200))
    assert 0 < model.count_tokens(short) < model.count_tokens(long)


def test_a_model_that_is_not_there_is_not_found(models: ChatModels) -> None:
    base = models.base()
    with pytest.raises(NotFound):
        models.open(base.model_copy(update={"base": "no-such-model"}))


def test_opening_twice_is_the_same_model(models: ChatModels) -> None:
    assert models.open(models.base()).fingerprint == models.open(models.base()).fingerprint
