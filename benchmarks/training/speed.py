"""Tokens a second: Ratchet's trainer beside a bare loop of the same packed batches, and beside one without packing.

    .venv/bin/python benchmarks/training/speed.py
    .venv/bin/python benchmarks/training/speed.py --model smollm2-135m-instruct --home .ratchet

The same model, rows, learning rate and number of steps, in one process, one after the other, each after a step that is
not counted. The bare loop is forward, backward, clip, step, and nothing else: no Trainer, no callbacks, no checkpoints.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Protocol

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "fakes"))

from killed_training import rows
from tiny_llama import tiny_llama

from infra.adapters.base_models import BaseModel, find_base_model, load_base_model
from infra.adapters.folder_artifacts import FolderArtifacts
from infra.adapters.lora_packing import Pack, RowEncoder, opening_of, pack
from infra.adapters.lora_settings import LoraSettings
from infra.adapters.lora_trainer import LoraTrainer
from infra.offline import silence_telemetry
from tasks.core.ports import TrainingRow

SETTINGS = LoraSettings(packs_per_step=2, checkpoint_steps=1000, context_cache_tokens=0)


class Steps:
    """When each step ended. The first is a warm-up."""

    def __init__(self) -> None:
        self.ended: list[float] = []

    def begin(self) -> None:
        """Not counted here."""

    def end(self, *_: object) -> None:
        self.ended.append(time.perf_counter())

    def seconds_a_step(self) -> float:
        return (self.ended[-1] - self.ended[0]) / (len(self.ended) - 1)


def ratchet(base: BaseModel, asked: list[TrainingRow], folder: Path, threads: int) -> float:
    steps = Steps()
    trainer = LoraTrainer(base, FolderArtifacts(folder / "store"), SETTINGS, threads=threads)
    trainer.train(asked, [], folder / "work", lambda _, done, __: steps.end() if done else None)
    return steps.seconds_a_step()


def adapted(base: BaseModel, threads: int) -> tuple[Any, RowEncoder]:
    import torch
    from peft import LoraConfig, get_peft_model

    loaded = load_base_model(base, threads=threads)
    torch.manual_seed(0)
    config = LoraConfig(r=SETTINGS.rank, lora_alpha=SETTINGS.alpha, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(loaded.model, config), RowEncoder(loaded.tokenizer)


class Stamps(Protocol):
    """Told of every step."""

    def begin(self) -> None: ...

    def end(self) -> None: ...


def bare_loop(base: BaseModel, packs: list[Pack], per_step: int, threads: int, steps: Stamps) -> None:
    """One pack after the other, with every thread on each. What all contexts begin with is read once, as in Ratchet."""
    import torch
    from torch.nn.functional import cross_entropy

    from infra.adapters.lora_loop import ContextCache, block_logits, tensors

    model, _ = adapted(base, threads)
    model.train()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer, contexts = torch.optim.AdamW(weights, lr=1e-3, weight_decay=0.0), ContextCache(0, opening_of(packs))
    for at in range(0, len(packs), per_step):
        steps.begin()
        made = [tensors(one) for one in packs[at : at + per_step]]
        total = sum(len(one["labels"]) for one in made)
        for one in made:
            (past,) = contexts.read_all(model, [one["context"]])
            (cross_entropy(block_logits(model, one, past), one["labels"], reduction="sum") / total).backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        steps.end()


def seconds_of_bare(base: BaseModel, packs: list[Pack], per_step: int, threads: int) -> float:
    steps = Steps()
    bare_loop(base, packs, per_step, threads, steps)
    return steps.seconds_a_step()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="default: a random llama of two layers, which measures overhead only")
    parser.add_argument("--home", type=Path, default=Path(".ratchet"), help="where a packaged model is unpacked")
    parser.add_argument("--pages", type=int, default=60, help="contexts, of two questions each")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    silence_telemetry()
    data = rows(asked.pages)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        model = asked.model or str(tiny_llama(folder / "tiny"))
        base = find_base_model(model, asked.home if asked.model else folder / "home")
        _, encoder = adapted(base, asked.threads)
        packs = pack(data, encoder)
        alone = [one for row in data for one in pack([row], encoder)]
        per_pack = sum(len(one.context) + sum(len(block.read) for block in one.blocks) for one in packs) / len(packs)
        per_row = len(data) / len(packs)
        trainer = ratchet(base, data, folder, asked.threads)
        loop = seconds_of_bare(base, packs, SETTINGS.packs_per_step, asked.threads)
        unpacked = seconds_of_bare(base, alone, round(SETTINGS.packs_per_step * per_row), asked.threads)
    for name, seconds in (("ratchet", trainer), ("bare loop", loop), ("bare loop, rows not packed", unpacked)):
        labels = SETTINGS.packs_per_step * per_row / seconds
        result = {"labels_per_second": round(labels, 2), "against_bare_loop": round(loop / seconds, 3)}
        if seconds != unpacked:
            result["tokens_per_second"] = round(SETTINGS.packs_per_step * per_pack / seconds)
        print(f"{name:<28} {json.dumps(result)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
