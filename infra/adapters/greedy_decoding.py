"""Greedy decoding in batches whose prompts begin alike: keys and values of what they share are computed once.

    [fixed part, of all rows][padding][passages, of some rows][padding][rest of the prompt][tokens written so far]

Three worked examples are two thirds of a prompt's tokens, and questions about one page are shown the same passages.
Where a prompt is divided follows from its messages, not from what a batch happens to have in common, and each part is
read by itself, so that an answer does not depend on its neighbours. Imports torch: import it in functions.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache

from infra.adapters.roomy_cache import bytes_per_token, can_share_prefixes, roomy_cache

_KEPT_PREFIXES = 4
_MAX_ROWS = 16
_MAX_CACHE_BYTES = 1 << 30  # keys and values of one batch


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids: what all prompts share, what the questions about it share (both may be empty), and the rest.

    awake: whether the adapter answers, where there is one that is woken; else its base does, in the same batch.
    """

    fixed: tuple[int, ...]
    passages: tuple[int, ...]
    rest: tuple[int, ...]
    awake: bool = True

    def __len__(self) -> int:
        return len(self.fixed) + len(self.passages) + len(self.rest)


class Network(Protocol):
    """A model as the decoder runs it, with or without an adapter."""

    @property
    def prefix_key(self) -> str:
        """Networks with equal keys compute the same for a fixed part."""

    def active(self, rest: Sequence[int]) -> int:
        """How many positions at the end of a prompt's rest the adapter reads, if it is to answer."""

    def logits(self, active: Sequence[int], **inputs: Any) -> Tensor:
        """(rows, vocabulary) after the last position. active: per row, positions at the end that the adapter reads."""


class GreedyDecoder:
    """Decodes on one base model. step_lock: held during every step, since adapters are switched inside the model."""

    def __init__(self, config: Any, device: Any, pad: int, step_lock: AbstractContextManager[Any]) -> None:
        self._config = config
        self._device = device
        self._pad = pad
        self._lock = step_lock
        self._bytes_per_token = bytes_per_token(config)
        self._shares_prefixes = can_share_prefixes(config)
        self._prefixes: OrderedDict[tuple[str, tuple[int, ...]], Cache] = OrderedDict()

    def batches(self, prompts: Sequence[Prompt], limit: int) -> Iterator[list[int]]:
        """Positions of prompts to decode together: the same fixed part, similar lengths, no more than memory allows."""
        order = sorted(range(len(prompts)), key=lambda at: _likeness(prompts[at], at))
        batch: list[int] = []
        for at in order:
            first = prompts[batch[0]] if batch else prompts[at]
            rows = min(_MAX_ROWS, _MAX_CACHE_BYTES // (self._bytes_per_token * (len(first) + limit)))
            if batch and (first.fixed != prompts[at].fixed or len(batch) >= rows):
                yield batch
                batch = []
            batch.append(at)
        if batch:
            yield batch

    def decode(
        self, network: Network, prompts: Sequence[Prompt], limit: int, is_last: Callable[[int, int], bool]
    ) -> Iterator[None]:
        """Writes up to `limit` tokens per prompt; yields after each. All prompts have the same fixed part.

        is_last(row, token) is called once for every token written, and says whether the row ends with it.
        """
        with self._lock:
            batch = self._read_prompts(network, prompts, limit)
        for left in range(limit, 0, -1):
            going = [at for at, (row, token) in enumerate(batch.written()) if not is_last(row, token)]
            yield
            if not going or left == 1:
                return
            with self._lock:
                batch.keep(going)
                batch.write(network, [int(prompts[row].awake) for row in batch.rows])

    def _read_prompts(self, network: Network, prompts: Sequence[Prompt], limit: int) -> _Batch:
        if not self._shares_prefixes:
            rests = [prompt.fixed + prompt.passages + prompt.rest for prompt in prompts]
            ids, mask = self._padded(rests)
            batch = _Batch(DynamicCache(config=self._config), mask[:, :0])
        else:
            rests = [prompt.rest for prompt in prompts]
            ids, mask = self._padded(rests)
            batch = self._read_passages(network, prompts, ids.shape[1] + limit)
        active = [network.active(rest) if prompt.awake else 0 for rest, prompt in zip(rests, prompts, strict=True)]
        batch.read(network, ids, mask, active)
        return batch

    def _read_passages(self, network: Network, prompts: Sequence[Prompt], more: int) -> _Batch:
        """Rows that have read the fixed part and their passages; what several rows share is read once."""
        fixed = prompts[0].fixed
        several = list(dict.fromkeys(prompt.passages for prompt in prompts))
        ids, mask = self._padded(several)
        cache = roomy_cache(self._config, self._prefix(network, fixed), ids.shape[1] + more)
        batch = _Batch(cache, mask.new_ones(len(several), len(fixed)))
        if ids.shape[1]:
            batch.read(network, ids, mask, [0] * len(several))
            if len(several) < len(prompts):
                batch.spread([several.index(prompt.passages) for prompt in prompts])
        else:
            batch = _Batch(cache, mask.new_ones(len(prompts), len(fixed)))
        return batch

    def _prefix(self, network: Network, fixed: tuple[int, ...]) -> Cache | None:
        if not fixed:
            return None
        key = (network.prefix_key, fixed)
        if key not in self._prefixes:
            self._prefixes[key] = DynamicCache(config=self._config)
            network.logits(
                [0], input_ids=torch.tensor([fixed], device=self._device), past_key_values=self._prefixes[key]
            )
        self._prefixes.move_to_end(key)
        if len(self._prefixes) > _KEPT_PREFIXES:
            self._prefixes.popitem(last=False)
        return self._prefixes[key]

    def _padded(self, rests: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        longest = max(map(len, rests))
        ids = [[self._pad] * (longest - len(rest)) + list(rest) for rest in rests]
        mask = [[0] * (longest - len(rest)) + [1] * len(rest) for rest in rests]
        return torch.tensor(ids, device=self._device), torch.tensor(mask, device=self._device)


def _likeness(prompt: Prompt, at: int) -> tuple[object, ...]:
    """Sorts prompts with the same parts side by side, and those of similar length near each other."""
    return (prompt.fixed, -len(prompt.passages), prompt.passages, -len(prompt.rest), at)


class _Batch:
    """Rows that are decoded together, their past, and the token each wrote last."""

    def __init__(self, cache: Cache, mask: Tensor) -> None:
        """mask: (rows, positions) of what the cache holds already."""
        self.rows = list(range(len(mask)))
        self._cache = cache
        self._mask = mask  # (rows, positions): 1 for a token, 0 for padding
        self._tokens = mask.new_empty(0)

    def written(self) -> list[tuple[int, int]]:
        return list(zip(self.rows, self._tokens.tolist(), strict=True))

    def keep(self, going: list[int]) -> None:
        """Drops the rows that ended, so that nothing is computed for them."""
        if len(going) == len(self.rows):
            return
        rows = [self.rows[at] for at in going]
        self.spread(going)
        self.rows = rows

    def spread(self, sources: list[int]) -> None:
        """One row for each of these, which may occur several times or not at all."""
        chosen = torch.tensor(sources, device=self._mask.device)
        self._cache.batch_select_indices(chosen)
        self._mask, self._tokens = self._mask[chosen], self._tokens[chosen]
        self.rows = list(range(len(sources)))

    def write(self, network: Network, active: Sequence[int]) -> None:
        """active: per row, 1 where the adapter reads what the row wrote last, else 0."""
        self.read(network, self._tokens[:, None], self._mask.new_ones(len(self.rows), 1), active)

    def read(self, network: Network, ids: Tensor, mask: Tensor, active: Sequence[int]) -> None:
        """Continues every row by these tokens. mask: 1 for a token, 0 for padding."""
        self._mask = torch.cat([self._mask, mask], dim=1)
        positions = (self._mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        logits = network.logits(
            active, input_ids=ids, attention_mask=self._mask, position_ids=positions, past_key_values=self._cache
        )
        self._tokens = logits.argmax(-1)
