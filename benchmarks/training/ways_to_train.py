"""One training of `against_trl.py`, in a process of its own: what it computed and how long it took, as a line of JSON.

one_training.py WAY ROWS.jsonl MODEL-FOLDER THREADS BATCH
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from speed import SETTINGS, adapted, bare_loop

from infra.adapters import lora_loop
from infra.adapters.base_models import BaseModel, load_base_model, load_tokenizer
from infra.adapters.folder_artifacts import FolderArtifacts
from infra.adapters.lora_packing import Pack, RowEncoder, opening_of, pack
from infra.adapters.lora_trainer import LoraTrainer
from tasks.core.ports import TrainingRow

MOST_TOKENS = 1024  # of a sequence in TRL: its default, and no row of the demo is longer


class Clock:
    """From the first step's beginning to the last one's end."""

    def __init__(self) -> None:
        self.begun: tuple[float, float] | None = None
        self.ended, self.steps = (0.0, 0.0), 0

    def begin(self) -> None:
        self.begun = self.begun or (time.perf_counter(), time.process_time())

    def end(self, *_: object) -> None:
        self.ended, self.steps = (time.perf_counter(), time.process_time()), self.steps + 1

    def told(self, labels: int, tokens: int, positions: int, supervised: int) -> dict[str, float]:
        assert self.begun is not None
        seconds, cpu_seconds = (end - begin for begin, end in zip(self.begun, self.ended, strict=True))
        counts = {"labels": labels, "tokens": tokens, "positions": positions, "supervised": supervised}
        return {"seconds": seconds, "cpu_seconds": cpu_seconds, "steps": self.steps, **counts}


def ratchet(rows: list[TrainingRow], base: BaseModel, threads: int) -> dict[str, float]:
    """As `ratchet train` fits it, in this process. Fitting tells when a step has ended; a subclass, when one begins."""
    clock = Clock()

    class Clocked(lora_loop.PackedTrainer):
        def training_step(self, *arguments: Any, **named: Any) -> Any:
            clock.begin()
            return super().training_step(*arguments, **named)

    plain, lora_loop.PackedTrainer = lora_loop.PackedTrainer, Clocked  # type: ignore[misc]
    try:
        with tempfile.TemporaryDirectory() as made:
            trainer = LoraTrainer(base, FolderArtifacts(Path(made) / "store"), SETTINGS, threads=threads)
            trainer.train(rows, [], Path(made) / "work", lambda _, done, __: clock.end() if done else None)
    finally:
        lora_loop.PackedTrainer = plain  # type: ignore[misc]
    return clock.told(len(rows), *counted(packs_of(rows, base)))


def bare_packed(rows: list[TrainingRow], base: BaseModel, threads: int) -> dict[str, float]:
    """One pack after the other, with every thread on each; what all contexts begin with is read once here too."""
    packs, clock = packs_of(rows, base), Clock()
    bare_loop(base, packs, SETTINGS.packs_per_step, threads, clock)
    return clock.told(len(rows), *counted(packs))


def packs_of(rows: Sequence[TrainingRow], base: BaseModel) -> list[Pack]:
    return pack(rows, RowEncoder(load_tokenizer(base)), SETTINGS.max_block_tokens)


def counted(packs: Sequence[Pack]) -> tuple[int, int, int]:
    """Tokens, positions of the tensors that hold them, and supervised tokens. The common opening is read once."""
    opening = len(opening_of(packs))
    tokens = opening + sum(len(p.context) - opening + sum(len(b.read) for b in p.blocks) for p in packs)
    made = [lora_loop.tensors(one) for one in packs]
    positions = opening + sum(one["context"].numel() - opening + one["input_ids"].numel() for one in made)
    return tokens, positions, sum(one["labels"].numel() for one in made)


def bare_padded(rows: list[TrainingRow], base: BaseModel, threads: int, batch: int, steps: int) -> dict[str, float]:
    """Whole rows, the adapter on every token of them, padded to the longest of each backward pass."""
    import torch
    from torch.nn.functional import cross_entropy

    model, encoder = adapted(base, threads)
    model.train()
    encoded = [encoder.encode(row) for row in rows]
    made = [([*context, *block.question], [*block.completion]) for context, block in encoded]
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer, clock, positions = torch.optim.AdamW(weights, lr=1e-3, weight_decay=0.0), Clock(), 0
    for part in parts(torch.randperm(len(made), generator=torch.Generator().manual_seed(0)).tolist(), steps):
        clock.begin()
        total = sum(len(made[at][1]) for at in part)
        for few in (part[at : at + batch] for at in range(0, len(part), batch)):
            longest = max(len(made[at][0]) + len(made[at][1]) for at in few)
            ids = torch.zeros((len(few), longest), dtype=torch.long)
            targets = torch.full_like(ids, -100)
            mask = torch.zeros_like(ids)
            for place, at in enumerate(few):
                prompt, completion = made[at]
                whole = len(prompt) + len(completion)
                ids[place, :whole] = torch.tensor(prompt + completion)
                targets[place, len(prompt) - 1 : whole - 1] = torch.tensor(completion)
                mask[place, :whole] = 1
            positions += ids.numel()
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
            (cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum") / total).backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        clock.end()
    tokens = sum(len(prompt) + len(completion) for prompt, completion in made)
    return clock.told(len(rows), tokens, positions, sum(len(completion) for _, completion in made))


def parts(places: list[int], steps: int) -> Iterator[list[int]]:
    """As many parts, of sizes that differ by one at most."""
    for number in range(steps):
        yield places[len(places) * number // steps : len(places) * (number + 1) // steps]


def trl(rows: list[TrainingRow], base: BaseModel, batch: int, steps: int, *, packing: bool) -> dict[str, float]:
    """SFTTrainer on prompt and completion, the loss on the completion alone, which is its default for such rows."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    clock, seen = Clock(), {"tokens": 0, "positions": 0, "supervised": 0}

    class Clocked(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            clock.begin()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.end()

    said = [
        {
            "prompt": [{"role": message.role, "content": message.content} for message in row.prompt],
            "completion": [{"role": "assistant", "content": row.completion}],
        }
        for row in rows
    ]
    loaded = load_base_model(base)
    with tempfile.TemporaryDirectory() as made:
        settings = SFTConfig(
            output_dir=made,
            per_device_train_batch_size=batch,
            learning_rate=SETTINGS.learning_rate,
            num_train_epochs=1,
            optim="adamw_torch",
            lr_scheduler_type="cosine",
            max_length=MOST_TOKENS,
            packing=packing,
            bf16=False,
            gradient_checkpointing=False,
            use_cpu=True,
            save_strategy="no",
            report_to="none",
            logging_steps=1,
            dataloader_pin_memory=False,
            disable_tqdm=True,
        )
        trainer = SFTTrainer(
            model=loaded.model,
            args=settings,
            train_dataset=Dataset.from_list(said),
            processing_class=loaded.tokenizer,
            peft_config=LoraConfig(
                r=SETTINGS.rank, lora_alpha=SETTINGS.alpha, target_modules="all-linear", task_type="CAUSAL_LM"
            ),
            callbacks=[Clocked()],
        )
        # So many backward passes a step that there are as many steps as elsewhere; known once rows are sequences.
        trainer.args.gradient_accumulation_steps = -(-len(trainer.train_dataset) // (batch * steps))
        collate = trainer.data_collator

        def counting(examples: list[dict[str, Any]]) -> Any:
            made = collate(examples)
            seen["positions"] += made["input_ids"].numel()
            seen["tokens"] += (
                int(made["attention_mask"].sum()) if "attention_mask" in made else made["input_ids"].numel()
            )
            seen["supervised"] += int((made["labels"] != -100).sum())
            return made

        trainer.data_collator = counting
        trainer.train()
    return clock.told(len(rows), seen["tokens"], seen["positions"], seen["supervised"])


def train(way: str, rows: list[TrainingRow], base: BaseModel, threads: int, batch: int) -> dict[str, float]:
    """One training, from the base model on."""
    import torch

    torch.set_num_threads(threads)
    steps = -(-len(packs_of(rows, base)) // SETTINGS.packs_per_step)
    match way:
        case "ratchet":
            return ratchet(rows, base, threads)
        case "bare packed":
            return bare_packed(rows, base, threads)
        case "bare padded":
            return bare_padded(rows, base, threads, batch, steps)
        case "trl padded" | "trl packed":
            return trl(rows, base, batch, steps, packing=way.endswith("packed"))
    raise SystemExit(f"There is no way to train called {way}.")
