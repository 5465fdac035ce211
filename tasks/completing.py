"""Prompts to completions: each model is asked each prompt once, in portions, and what it wrote is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from tasks.core.ports import AnswersWithBase, ChatModel, Completion, Message, Progress
from tasks.core.prompts import INVOCATION
from tasks.core.releases import canonical_json

PORTION = 32  # prompts asked, and then cached, together


class CompletionCache(Protocol):
    """Completions asked for before. Decoding is greedy, so an entry never goes stale: keys name model and prompt."""

    def get_many(self, keys: Sequence[str]) -> Mapping[str, Completion]:
        """Those of the keys that are there."""

    def put_many(self, completions: Mapping[str, Completion]) -> None:
        """Adds them; a key that is there already stays as it is."""


def complete(
    prompts: Sequence[tuple[Message, ...]],
    limit: int,
    chats: Sequence[ChatModel],
    cache: CompletionCache | None,
    progress: Progress | None,
) -> list[tuple[Completion, ...]]:
    """Per prompt a completion of each model; asked is for each distinct prompt that the cache does not hold, once."""
    keys = [tuple(completion_key(chat.fingerprint, prompt, limit) for chat in chats) for prompt in prompts]
    known = dict(cache.get_many([key for each in keys for key in each])) if cache else {}
    missing = {each: prompt for each, prompt in zip(keys, prompts, strict=True) if not known.keys() >= set(each)}
    asked = 0
    for portion in _portions(missing):
        told = _continued(progress, asked, len(missing))
        written = _written([missing[each] for each in portion], limit, chats, told)
        pairs = zip(portion, written, strict=True)
        new = {key: one for each, ones in pairs for key, one in zip(each, ones, strict=True)}
        asked += len(portion)
        known |= new
        if cache:
            cache.put_many(new)
    return [tuple(known[key] for key in each) for each in keys]


def _written(
    prompts: Sequence[tuple[Message, ...]], limit: int, chats: Sequence[ChatModel], progress: Progress | None
) -> list[tuple[Completion, ...]]:
    """A model and its base read the passages once, where the model can."""
    first, *others = chats
    if others and isinstance(first, AnswersWithBase):
        return [*first.complete_with_base(prompts, max_new_tokens=limit, progress=progress)]
    each = [chat.complete(prompts, max_new_tokens=limit, progress=progress) for chat in chats]
    return list(zip(*each, strict=True))


def _portions(prompts: Mapping[tuple[str, ...], Sequence[Message]]) -> Iterator[list[tuple[str, ...]]]:
    """Keys of prompts that batch well, in portions small enough that a kill loses little.

    Similar lengths beside each other, and questions about the same passages, which a model may read once for all.
    """

    def likeness(key: tuple[str, ...]) -> tuple[int, str, tuple[str, ...]]:
        before = "\n".join(message.content for message in prompts[key]).rpartition(INVOCATION)[0]
        return len(before), before, key

    order = sorted(prompts, key=likeness)
    return (order[at : at + PORTION] for at in range(0, len(order), PORTION))


def _continued(progress: Progress | None, before: int, total: int) -> Progress | None:
    return progress and (lambda what, done, _: progress(what, before + done, total))


def completion_key(fingerprint: str, prompt: Sequence[Message], max_new_tokens: int) -> str:
    """What a completion is cached under: 64 hex digits over model, messages and limit."""
    what = [fingerprint, max_new_tokens, [[message.role, message.content] for message in prompt]]
    return hashlib.sha256(canonical_json(what).encode()).hexdigest()
