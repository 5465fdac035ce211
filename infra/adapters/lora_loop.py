"""Packs: the context through the base alone, its blocks through the adapter, loss where it belongs.

A pack that the adapter reads whole has no context left for the base, and so an empty `Past`.

Imports torch and transformers: import it inside functions.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint
from transformers import DynamicCache, Trainer, TrainerCallback
from transformers.modeling_layers import GradientCheckpointingLayer

from infra.adapters.lora_packing import Pack, arrays, opening_of
from infra.adapters.training_ranks import ALONE, Ranks
from tasks.core.errors import BadSetting
from tasks.core.ports import Progress

Read = list[tuple[Any, Any]]
"""Per layer, keys and values: (1, heads, tokens, width) each."""


class PackedTrainer(Trainer):  # type: ignore[misc]  # transformers is not typed
    """`Trainer` whose batch is a few packs, each read and differentiated on a core of its own.

    A pack is too small for two cores to share: two threads on one pack were no faster than one. Gradients are added in
    the order of the packs, so the adapter does not depend on how many cores there were. Of several processes each
    differentiates its share, and what they found is added before any of them takes the step.
    """

    def __init__(self, *, context_cache_tokens: int, lanes: int = 1, ranks: Ranks = ALONE, **arguments: Any) -> None:
        super().__init__(data_collator=collate, **arguments)
        self._contexts = ContextCache(context_cache_tokens, opening_of(arguments["train_dataset"]))
        self._lanes = ThreadPoolExecutor(max_workers=lanes, thread_name_prefix="pack")
        self._ranks = ranks

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Any:
        """Adds the gradients of a step; returns its loss per completion token."""
        model.train()
        packs = [_on(model.device, pack) for pack in self._ranks.share(inputs["packs"])]
        total = sum(len(pack["labels"]) for pack in inputs["packs"])  # of all ranks
        pasts = self._contexts.read_all(model, [pack["context"] for pack in packs], self._lanes)
        weights = [weight for weight in model.parameters() if weight.requires_grad]

        def differentiate(pack: dict[str, Any], past: Past) -> tuple[Any, Any]:
            with torch.enable_grad():
                loss = cross_entropy(block_logits(model, pack, past), pack["labels"], reduction="sum") / total
            return loss.detach(), torch.autograd.grad(loss, weights)

        loss = torch.zeros((), device=model.device)
        for part, gradients in self._lanes.map(differentiate, packs, pasts):
            loss += part
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.grad = gradient if weight.grad is None else weight.grad.add_(gradient)
        if self._ranks.world > 1:
            for weight in weights:
                weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad  # it had no pack
            self._ranks.add([loss, *(weight.grad for weight in weights)])
        return loss

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """By the first process; none goes on before it is there."""
        if self._ranks.first:
            super()._save_checkpoint(model, trial)
        self._ranks.wait()

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not counted: the Trainer's formula wants unpacked batches."""
        return 0


class Past(DynamicCache):  # type: ignore[misc]
    """A context's keys and values, which reading a block does not change: a layer may be computed twice from them."""

    def update(self, key_states: Any, value_states: Any, layer_idx: int, *_: Any, **__: Any) -> tuple[Any, Any]:
        """The context's and the block's, together; nothing is kept."""
        if layer_idx >= len(self.layers):
            return key_states, value_states
        kept = self.layers[layer_idx]
        return torch.cat([kept.keys, key_states], dim=-2), torch.cat([kept.values, value_states], dim=-2)


def checkpoint_layers(model: Any) -> None:
    """From now on a layer keeps only what came in while the model is trained, and is computed again going back.

    transformers takes the cache away from such layers, because a second reading would append to it a second time.
    `Past` is not appended to, and this is how a layer is told. Raises BadSetting for a model that cannot do it.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, GradientCheckpointingLayer)]
    if not layers:
        raise BadSetting(
            "RATCHET_LORA__GRADIENT_CHECKPOINTING wants a model whose layers transformers can compute again, and "
            f"{type(model).__name__} has none. Unset it, or train with less memory by a lower max_block_tokens."
        )
    for layer in layers:
        layer._can_checkpoint_with_cache = True
        layer.gradient_checkpointing = True
        layer._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)


class ContextCache:
    """Keys and values of contexts, which only the frozen base computes: read once, used in every epoch."""

    def __init__(self, max_tokens: int, opening: Sequence[int] = ()) -> None:
        """opening: tokens that all contexts begin with, such as the system message; they are read only once."""
        self._room = max_tokens
        self._opening = opening
        self._kept: dict[tuple[int, ...], Read] = {}

    def read_all(self, model: Any, contexts: Sequence[Any], lanes: Executor | None = None) -> list[Past]:
        """Of each context, in this order."""
        tokens = [tuple(context[0].tolist()) for context in contexts]
        missing = {key: context for key, context in zip(tokens, contexts, strict=True) if key and key not in self._kept}
        made: dict[tuple[int, ...], Read] = {}
        if missing:
            with evaluating(model), model.disable_adapter():
                openings = [self._opened(model, key) for key in missing]
                read = (lanes.map if lanes else map)(_read, [model] * len(missing), missing.values(), openings)
                made = dict(zip(missing, read, strict=True))
        pasts = [Past((self._kept.get(key) or made[key]) if key else None) for key in tokens]
        for key, past in made.items():
            if len(key) <= self._room:
                self._room -= len(key)
                self._kept[key] = past
        return pasts

    def _opened(self, model: Any, tokens: tuple[int, ...]) -> Read:
        opening = tuple(self._opening)
        if not opening or len(opening) >= len(tokens) or tokens[: len(opening)] != opening:
            return []
        if opening not in self._kept:
            self._kept[opening] = _read(model, torch.tensor([opening], device=model.device), [])
        return self._kept[opening]


def collate(batch: Sequence[Pack]) -> dict[str, Any]:
    """Each pack's tensors, and all targets together under the name by which Trainer counts them."""
    packs = [tensors(packed) for packed in batch]
    return {"packs": packs, "labels": torch.cat([pack["labels"] for pack in packs])}


def tensors(packed: Pack) -> dict[str, Any]:
    """What one forward pass over a pack takes."""
    made = arrays(packed)
    return {
        "context": torch.from_numpy(made.context)[None],
        "input_ids": torch.from_numpy(made.tokens)[None],
        "position_ids": torch.from_numpy(made.positions)[None],
        "attention_mask": torch.from_numpy(made.sees)[None, None],
        "predicting": torch.from_numpy(made.predicting),
        "labels": torch.from_numpy(made.targets),
    }


def block_logits(model: Any, pack: dict[str, Any], past: Past) -> Any:
    """(supervised tokens, vocabulary) logits, at no other place: a full projection would cost gigabytes."""
    return model(
        input_ids=pack["input_ids"],
        position_ids=pack["position_ids"],
        attention_mask=pack["attention_mask"],
        past_key_values=past,
        logits_to_keep=pack["predicting"],
    ).logits[0]


def mean_loss(model: Any, packs: Iterable[Pack]) -> float:
    """Loss per completion token, without touching the model."""
    total, targets = 0.0, 0
    with evaluating(model), torch.no_grad():
        for made in (_on(model.device, tensors(packed)) for packed in packs):
            (past,) = ContextCache(0).read_all(model, [made["context"]])
            total += _loss(model, made, past)
            targets += len(made["labels"])
    return total / max(1, targets)


def losses_of_both(model: Any, packs: Iterable[Pack], opening: Sequence[int]) -> tuple[float, float]:
    """Loss per completion token by the base alone and with its adapter; every context is read once for the two.

    opening: tokens that all contexts begin with.
    """
    contexts, base, tuned, targets = ContextCache(0, opening), 0.0, 0.0, 0
    with evaluating(model), torch.no_grad():
        for made in (_on(model.device, tensors(packed)) for packed in packs):
            past, again = contexts.read_all(model, [made["context"]] * 2)
            tuned += _loss(model, made, past)
            with model.disable_adapter():
                base += _loss(model, made, again)
            targets += len(made["labels"])
    return base / targets, tuned / targets


def _loss(model: Any, made: dict[str, Any], past: DynamicCache) -> float:
    return float(cross_entropy(block_logits(model, made, past), made["labels"], reduction="sum"))


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Evaluation mode, and back."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


class Reporting(TrainerCallback):  # type: ignore[misc]
    """Loss, speed and time left after every step."""

    def __init__(self, progress: Progress, tokens_per_epoch: int) -> None:
        self._progress = progress
        self._tokens_per_epoch = tokens_per_epoch
        self._begun = 0.0
        self._first_step = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Counts from here: a resumed training reports its own speed."""
        self._begun, self._first_step = time.monotonic(), state.global_step

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """One report per logged step."""
        if not logs or "loss" not in logs:
            return
        seconds, steps = time.monotonic() - self._begun, state.global_step - self._first_step
        speed = self._tokens_per_epoch * args.num_train_epochs / state.max_steps * steps / seconds
        left = seconds / steps * (state.max_steps - state.global_step)
        what = f"training: loss {logs['loss']:.2f}, {speed:.0f} tokens/s, {left:.0f} s left"
        self._progress(what, state.global_step, state.max_steps)


def _read(model: Any, context: Any, past: Read) -> Read:
    cache = DynamicCache(past) if past else DynamicCache()
    rest = context[:, cache.get_seq_length() :]
    with torch.no_grad():  # of this thread
        model.get_decoder()(input_ids=rest, past_key_values=cache, use_cache=True)
    return [(layer.keys, layer.values) for layer in cache.layers]


def _on(device: Any, made: dict[str, Any]) -> dict[str, Any]:
    return {name: tensor.to(device) for name, tensor in made.items()}
