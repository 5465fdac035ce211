"""Messages to token ids by the model's own chat template: the same ids in training and in serving."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from tasks.core.ports import Message
from tasks.core.prompts import INVOCATION


class ChatTemplate:
    """A tokenizer's chat template. Message contents are data: control tokens written in them are broken up."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        added = {str(token) for token in tokenizer.added_tokens_decoder.values()}
        control = sorted(token for token in added | set(tokenizer.all_special_tokens) if len(token) > 1)
        self._invocation: list[int] = tokenizer(INVOCATION, add_special_tokens=False)["input_ids"]
        self._control = re.compile("|".join(map(re.escape, control)) or r"(?!)")
        self.end_of_turn: int = self._end_of_turn()
        """The token that the template writes after an answer; the tokenizer's own end where it writes none."""

    def ids(self, messages: Sequence[Message], *, answer_next: bool = True) -> list[int]:
        """The prompt's tokens; answer_next: ending where the assistant's answer begins."""
        turns = [{"role": message.role, "content": self.as_data(message.content)} for message in messages]
        text = self._tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=answer_next, enable_thinking=False
        )
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def answer_ids(self, answer: str) -> list[int]:
        """An answer's tokens, with the one that ends its turn."""
        ids: list[int] = self._tokenizer(self.as_data(answer), add_special_tokens=False)["input_ids"]
        return [*ids, self.end_of_turn]

    def parts(self, messages: Sequence[Message]) -> tuple[list[int], list[int], list[int]]:
        """The prompt's tokens as (what all prompts of a release begin with, the passages, the question).

        The passages end where the last question's INVOCATION begins; without one they are part of the question.
        """
        ids = self.ids(messages)
        fixed = len(self._fixed_ids(messages, ids))
        size = len(self._invocation)
        starts = (at for at in range(len(ids) - size, fixed - 1, -1) if ids[at : at + size] == self._invocation)
        asked = next(starts, fixed)
        return ids[:fixed], ids[fixed:asked], ids[asked:]

    def _fixed_ids(self, messages: Sequence[Message], whole: list[int]) -> list[int]:
        """The tokens that every prompt with these messages before its last one begins with."""
        fixed = self.ids(messages[:-1], answer_next=False) if len(messages) > 1 else []
        same = next((i for i, (a, b) in enumerate(zip(fixed, whole, strict=False)) if a != b), len(fixed))
        return fixed[:same]

    def _end_of_turn(self) -> int:
        """Not always the tokenizer's EOS: Gemma and Phi end their turns with a token of the template."""
        turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "Yes"}]
        text: str = self._tokenizer.apply_chat_template(turns, tokenize=False)
        after: list[int] = self._tokenizer(text.rpartition("Yes")[2], add_special_tokens=False)["input_ids"]
        special = {*self._tokenizer.added_tokens_decoder, *self._tokenizer.all_special_ids}
        return after[0] if after and after[0] in special else int(self._tokenizer.eos_token_id)

    def as_data(self, text: str) -> str:
        """Text in which no control token can be read."""
        return self._control.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)
