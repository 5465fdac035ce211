"""Packing: rows that begin alike become one context and parallel blocks, each reading the context and itself only.

    tokens     c c c c c c | q q q a a  | q q a a a  | …     c: system and passages, read by the base model alone
    positions  0 1 2 3 4 5 | 6 7 8 9 10 | 6 7 8 9 10 | …     q: from the invocation on;  a: the completion, not its EOS
    loss                   |     * * *  |   * * * *  |       *: predicts a token of the completion, or EOS

A block sees what it would see alone: its context and its own earlier tokens, at the same positions. Where the adapter
is active everywhere, it reads the context too: the context's tokens then go before those of the blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from infra.adapters.chat_template import ChatTemplate
from tasks.core.errors import BadSetting
from tasks.core.ports import TrainingRow
from tasks.core.prompts import INVOCATION

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Block:
    """One row after its context: the question, then the completion, which ends with EOS and alone carries loss."""

    question: tuple[int, ...]
    completion: tuple[int, ...]

    @property
    def read(self) -> tuple[int, ...]:
        """The tokens the model reads: all but EOS, which it only has to predict."""
        return self.question + self.completion[:-1]


@dataclass(frozen=True, slots=True)
class Pack:
    """One context and blocks that follow it in parallel. whole: the adapter reads the context too."""

    context: tuple[int, ...]
    blocks: tuple[Block, ...]
    whole: bool = False


@dataclass(frozen=True, slots=True)
class PackedArrays:
    """A pack as the model takes it. c: tokens only the base reads; n: those the adapter reads; s: supervised."""

    context: NDArray[np.int64]  # (c,)
    tokens: NDArray[np.int64]  # (n,)
    positions: NDArray[np.int64]  # (n,) restarting after the context in every block
    sees: NDArray[np.bool_]  # (n, c + n) which tokens each of the n attends to
    predicting: NDArray[np.int64]  # (s,) indices into tokens whose next token carries loss
    targets: NDArray[np.int64]  # (s,) that next token


class RowEncoder:
    """Rows to tokens, spelled as serving spells them."""

    def __init__(self, tokenizer: Any, invocation: str = INVOCATION) -> None:
        self._tokenizer = tokenizer
        self._template = ChatTemplate(tokenizer)
        self.invocation: tuple[int, ...] = tuple(tokenizer(invocation, add_special_tokens=False).input_ids)

    def encode(self, row: TrainingRow) -> tuple[tuple[int, ...], Block]:
        """A row as (context, block), split where the last invocation begins: PEFT wakes the adapter at the same place.

        Raises BadSetting when the prompt has no invocation: the adapter would sleep through the whole row.
        """
        prompt = self._template.ids(row.prompt)
        start = _last(prompt, self.invocation)
        if start is None:
            raise BadSetting(
                f"The prompt of label {row.label_id} does not contain the tokens {list(self.invocation)} that wake the "
                "adapter. Prompts must be rendered by tasks.core.prompts.render.",
                label=row.label_id,
            )
        return tuple(prompt[:start]), Block(tuple(prompt[start:]), tuple(self._template.answer_ids(row.completion)))


def pack(
    rows: Sequence[TrainingRow], encoder: RowEncoder, max_block_tokens: int = 512, *, whole: bool = False
) -> list[Pack]:
    """Packs in the order their contexts first appear; a context with more blocks than fit makes several packs.

    Raises BadSetting with the ids of the labels that have no answer to learn.
    """
    _require_answers(rows)
    groups: dict[tuple[int, ...], list[list[Block]]] = {}
    for row in rows:
        context, block = encoder.encode(row)
        packs = groups.setdefault(context, [[]])
        if packs[-1] and sum(len(b.read) for b in packs[-1]) + len(block.read) > max_block_tokens:
            packs.append([])
        packs[-1].append(block)
    return [Pack(context, tuple(blocks), whole) for context, packs in groups.items() for blocks in packs]


def _require_answers(rows: Sequence[TrainingRow]) -> None:
    empty = tuple(dict.fromkeys(row.label_id for row in rows if not row.completion.strip()))
    if empty:
        raise BadSetting(
            f"{len(empty)} labels have no answer to learn: {', '.join(empty[:5])}{', …' if empty[5:] else ''}. Nothing "
            "of their rows would carry loss but the end. Reject them: `ratchet labels review`.",
            labels=empty,
        )


def opening_of(packs: Sequence[Pack]) -> tuple[int, ...]:
    """The tokens that all contexts begin with: the system message, and worked examples if the prompt has any."""
    first, last = min(one.context for one in packs), max(one.context for one in packs)
    same = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:same]


def arrays(packed: Pack) -> PackedArrays:
    """The pack's tokens, positions, mask and supervised places."""
    context, lengths = len(packed.context), [len(block.read) for block in packed.blocks]
    first = context if packed.whole else 0  # tokens that the adapter reads before the blocks
    total = sum(lengths)
    sees = np.zeros((first + total, context + total), dtype=np.bool_)
    sees[:first, :context] = np.tri(first, context, dtype=np.bool_)
    sees[first:, :context] = True
    positions = np.concatenate([np.arange(first), *(np.arange(context, context + length) for length in lengths)])
    predicting: list[int] = []
    start = 0
    for block, length in zip(packed.blocks, lengths, strict=True):
        own = slice(first + start, first + start + length)
        sees[own, context + start : context + start + length] = np.tri(length, dtype=np.bool_)
        predicting += range(first + start + len(block.question) - 1, first + start + length)
        start += length
    read = [token for block in packed.blocks for token in block.read]
    return PackedArrays(
        context=np.array(() if packed.whole else packed.context, dtype=np.int64),
        tokens=np.array([*packed.context[:first], *read], dtype=np.int64),
        positions=positions.astype(np.int64),
        sees=sees,
        predicting=np.array(predicting, dtype=np.int64),
        targets=np.array([token for block in packed.blocks for token in block.completion], dtype=np.int64),
    )


def _last(tokens: Sequence[int], wanted: tuple[int, ...]) -> int | None:
    width = len(wanted)
    return next((at for at in range(len(tokens) - width, -1, -1) if tuple(tokens[at : at + width]) == wanted), None)
