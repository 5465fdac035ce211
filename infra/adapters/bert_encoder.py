"""A BERT encoder in numpy: token ids to one mean vector, without importing torch.

Texts go through one at a time, so no text is padded and a vector cannot depend on its neighbours, not in one bit. A
forward pass is bound by matrix products, which numpy's BLAS runs as fast for one text as for a batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel

if TYPE_CHECKING:
    from tasks.core.ports import Vectors

Tensors = Mapping[str, "Vectors"]
ROWS_AT_ONCE = 16  # of the widest matrix while it goes through GELU: 100 kB stay in the cache
HALF_ROOT = np.float32(np.sqrt(0.5))


class BertConfig(BaseModel):
    """What of `config.json` decides the computation. Another activation or position scheme is refused."""

    model_type: Literal["bert"]
    hidden_act: Literal["gelu"]
    position_embedding_type: Literal["absolute"] = "absolute"
    num_hidden_layers: int
    num_attention_heads: int
    layer_norm_eps: float


@dataclass(frozen=True, slots=True)
class _Linear:
    """x @ weight + bias."""

    weight: Vectors  # (inputs, outputs), contiguous: twice as fast on short texts as the transposed original
    bias: Vectors

    def into(self, out: Vectors, x: Vectors) -> None:
        np.matmul(x, self.weight, out=out)
        out += self.bias


@dataclass(frozen=True, slots=True)
class _Norm:
    """Layer normalisation, in place."""

    weight: Vectors
    bias: Vectors
    epsilon: np.float32

    def apply(self, x: Vectors) -> None:
        x -= x.mean(axis=-1, keepdims=True)
        deviation = np.einsum("ij,ij->i", x, x)[:, None] / np.float32(x.shape[1])
        x /= np.sqrt(deviation + self.epsilon)
        x *= self.weight
        x += self.bias


@dataclass(frozen=True, slots=True)
class _Layer:
    attention: _Linear  # queries (scaled), keys and values side by side
    merge: _Linear
    merged: _Norm
    widen: _Linear  # scaled by √½, which `_gelu` takes back
    narrow: _Linear
    done: _Norm


class _Scratch:
    """Buffers for one text of up to `longest` tokens: fresh ones per step cost a fifth of the time in page faults."""

    def __init__(self, longest: int, hidden: int, wide: int, heads: int) -> None:
        self.attention = np.empty(longest * 3 * hidden, np.float32)
        self.scores = np.empty(heads * longest * longest, np.float32)
        self.context = np.empty((longest, hidden), np.float32)
        self.step = np.empty((longest, hidden), np.float32)
        self.wide = np.empty((longest, wide), np.float32)
        self.gelu = np.empty((3, ROWS_AT_ONCE, wide), np.float32)
        self.ones = np.ones((longest, 1), np.float32)


class BertEncoder:
    """Read-only once loaded: any number of threads may use it."""

    def __init__(self, config: BertConfig, tensors: Tensors) -> None:
        self._heads = config.num_attention_heads
        self._words = tensors["embeddings.word_embeddings.weight"]
        kind = tensors["embeddings.token_type_embeddings.weight"][0]
        self._places = tensors["embeddings.position_embeddings.weight"] + kind
        epsilon = np.float32(config.layer_norm_eps)
        self._start = _norm(tensors, "embeddings.LayerNorm", epsilon)
        scale = np.float32(1 / np.sqrt(self.dimensions // self._heads))
        self._layers = [
            _layer(tensors, f"encoder.layer.{number}", scale, epsilon) for number in range(config.num_hidden_layers)
        ]

    @classmethod
    def load(cls, folder: Path) -> BertEncoder:
        """Reads `config.json` and `model.safetensors`."""
        from safetensors.numpy import load_file

        config = BertConfig.model_validate_json((folder / "config.json").read_bytes())
        return cls(config, load_file(folder / "model.safetensors"))

    @property
    def dimensions(self) -> int:
        """Length of one vector."""
        return int(self._words.shape[1])

    def encode(self, texts: Sequence[Sequence[int]]) -> Vectors:
        """(n_texts, dimensions) float32, unit length: the mean of each text's token vectors. On the calling thread."""
        vectors = np.empty((len(texts), self.dimensions), np.float32)
        wide = self._layers[0].widen.bias.shape[0]
        scratch = _Scratch(max(map(len, texts), default=0), self.dimensions, wide, self._heads)
        for row, ids in enumerate(texts):
            mean = self._states(ids, scratch).mean(axis=0)
            vectors[row] = mean / np.sqrt(mean @ mean)
        return vectors

    def _states(self, ids: Sequence[int], scratch: _Scratch) -> Vectors:
        x: Vectors = self._words[np.asarray(ids)]
        x += self._places[: len(ids)]
        self._start.apply(x)
        for layer in self._layers:
            self._attend(layer, x, scratch)
            self._think(layer, x, scratch)
        return x

    def _attend(self, layer: _Layer, x: Vectors, scratch: _Scratch) -> None:
        """Softmax is divided after the values are summed: the matrix to divide is smaller."""
        tokens, hidden = x.shape
        each = (self._heads, hidden // self._heads)
        attention = scratch.attention[: tokens * 3 * hidden].reshape(tokens, 3 * hidden)
        layer.attention.into(attention, x)
        queries, keys, values = attention.reshape(tokens, 3, *each).transpose(1, 2, 0, 3)
        scores = scratch.scores[: self._heads * tokens * tokens].reshape(self._heads, tokens, tokens)
        np.matmul(queries, keys.transpose(0, 2, 1), out=scores)
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        context = scratch.context[:tokens]
        by_head = context.reshape(tokens, *each).transpose(1, 0, 2)
        np.matmul(scores, values, out=by_head)
        by_head /= scores @ scratch.ones[:tokens]
        layer.merge.into(scratch.step[:tokens], context)
        x += scratch.step[:tokens]
        layer.merged.apply(x)

    def _think(self, layer: _Layer, x: Vectors, scratch: _Scratch) -> None:
        wide, step = scratch.wide[: len(x)], scratch.step[: len(x)]
        layer.widen.into(wide, x)
        _gelu(wide, scratch.gelu)
        layer.narrow.into(step, wide)
        x += step
        layer.done.apply(x)


def _gelu(z: Vectors, scratch: Vectors) -> None:
    """In place: x / √2 becomes √2 · gelu(x) = z + |z| erf(|z|).

    erf after Abramowitz and Stegun 1964, 7.1.26: 1 - poly(t) exp(-z²) with t = 1 / (1 + p|z|), off by at most 1.5e-7.
    """
    for start in range(0, len(z), ROWS_AT_ONCE):
        rows = z[start : start + ROWS_AT_ONCE]
        size, t, poly = scratch[:, : len(rows)]
        np.abs(rows, out=size)
        np.multiply(size, np.float32(0.3275911), out=t)
        t += np.float32(1)
        np.divide(np.float32(1), t, out=t)
        np.multiply(t, np.float32(1.061405429), out=poly)
        for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
            poly += np.float32(coefficient)
            poly *= t
        np.multiply(size, size, out=t)
        np.negative(t, out=t)
        poly *= np.exp(t, out=t)
        poly *= size
        rows += size
        rows -= poly


def _layer(tensors: Tensors, name: str, scale: np.float32, epsilon: np.float32) -> _Layer:
    queries = _linear(tensors, f"{name}.attention.self.query", scale)
    keys, values = (_linear(tensors, f"{name}.attention.self.{part}") for part in ("key", "value"))
    narrow = _linear(tensors, f"{name}.output.dense")
    return _Layer(
        attention=_Linear(
            np.concatenate([queries.weight, keys.weight, values.weight], axis=1),
            np.concatenate([queries.bias, keys.bias, values.bias]),
        ),
        merge=_linear(tensors, f"{name}.attention.output.dense"),
        merged=_norm(tensors, f"{name}.attention.output.LayerNorm", epsilon),
        widen=_linear(tensors, f"{name}.intermediate.dense", HALF_ROOT),
        narrow=_Linear(narrow.weight * HALF_ROOT, narrow.bias),
        done=_norm(tensors, f"{name}.output.LayerNorm", epsilon),
    )


def _linear(tensors: Tensors, name: str, factor: np.float32 | None = None) -> _Linear:
    weight, bias = np.ascontiguousarray(tensors[f"{name}.weight"].T), tensors[f"{name}.bias"]
    return _Linear(weight, bias) if factor is None else _Linear(weight * factor, bias * factor)


def _norm(tensors: Tensors, name: str, epsilon: np.float32) -> _Norm:
    return _Norm(tensors[f"{name}.weight"], tensors[f"{name}.bias"], epsilon)
