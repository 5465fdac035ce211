"""Keys and values in room made once, beginning with a prefix that all rows share. Import it in functions (torch).

transformers grows its caches by concatenation, which copies every row's whole past for every new token: more than half
of the time of a step at 16 rows and 600 positions.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer


def can_share_prefixes(config: Any) -> bool:
    """Whether every layer keeps plain keys and values; sliding windows and linear attention keep other things."""
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=config).layers)


def bytes_per_token(config: Any) -> int:
    """Size of one position's keys and values in all layers, for float32: an upper bound for smaller types."""
    text = config.get_text_config(decoder=True)
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return 2 * 4 * int(text.num_hidden_layers * heads * width)


def roomy_cache(config: Any, prefix: Cache | None, more: int) -> Cache:
    """A cache that continues `prefix` (one row, left as it is) by up to `more` positions, in any number of rows."""
    start = prefix.layers if prefix else [None] * len(DynamicCache(config=config).layers)
    return Cache(layers=[_RoomyLayer(layer, more) for layer in start])


class _RoomyLayer(DynamicLayer):  # type: ignore[misc]
    def __init__(self, prefix: DynamicLayer | None, more: int) -> None:
        super().__init__()
        self._prefix = prefix
        self._length = prefix.get_seq_length() if prefix else 0
        self._room = self._length + more

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys, self.values = self._make_room(key_states), self._make_room(value_states)
        if self._prefix:
            self.keys[:, :, : self._length] = self._prefix.keys
            self.values[:, :, : self._length] = self._prefix.values
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, self._length = self._length, self._length + key_states.shape[-2]
        self.keys[:, :, start : self._length] = key_states
        self.values[:, :, start : self._length] = value_states
        return self.keys[:, :, : self._length], self.values[:, :, : self._length]

    def get_seq_length(self) -> int:
        return self._length

    def _make_room(self, states: Tensor) -> Tensor:
        rows, heads, _, width = states.shape
        return states.new_empty(rows, heads, self._room, width)
