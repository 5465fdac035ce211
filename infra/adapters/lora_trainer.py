"""LoRA on a base model in this process: rows in, an adapter in the artifact store out.

The adapter is active only after the passages (PEFT: `alora_invocation_tokens`). Training never needs to switch it off:
contexts are read by the base alone, and every token of the blocks after them is the adapter's.

    workdir/rows.sha256      what these checkpoints were made from; other rows start over
    workdir/checkpoint-N/    of `transformers.Trainer`: pickles of our own, never shipped, never loaded from elsewhere
    workdir/adapter/         safetensors and JSON, as it goes into the artifact store
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from infra.adapters.adapter_proof import write_proof
from infra.adapters.base_models import BaseModel, load_base_model
from infra.adapters.lora_packing import Pack, RowEncoder, pack
from tasks.core.errors import NotEnoughLabels
from tasks.core.ports import ArtifactStore, Progress, TrainedModel, TrainingRow
from tasks.core.releases import ModelRef, canonical_json

_LIBRARIES = ("torch", "transformers", "peft")


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """How an adapter is trained. The defaults are measured for SmolLM2-135M on a CPU; see docs/decisions.md."""

    rank: int = 16
    alpha: int = 32
    epochs: int = 1  # other contexts teach more than the same ones again: RowSettings.contexts
    learning_rate: float = 1e-3
    warmup_fraction: float = 0.05  # of all steps
    packs_per_step: int = 2
    max_block_tokens: int = 512  # of one pack, its context apart
    max_grad_norm: float = 1.0
    seed: int = 0
    checkpoint_steps: int = 20  # a checkpoint costs well under a second
    context_cache_tokens: int = 20_000  # keys and values kept between epochs; about 46 kB a token for SmolLM2-135M


class LoraTrainer:
    """Trainer port on transformers and PEFT."""

    def __init__(
        self,
        base: BaseModel,
        artifacts: ArtifactStore,
        settings: LoraSettings | None = None,
        *,
        threads: int = 0,
    ) -> None:
        """Loads nothing yet. threads: for torch on a CPU; 0 leaves its own choice."""
        self._base = base
        self._artifacts = artifacts
        self._settings = settings or LoraSettings()
        self._threads = threads

    @property
    def fingerprint(self) -> str:
        """`lora-` and 16 hex digits. Checkpoint intervals and caches are not in it: they change no weight."""
        chosen = asdict(self._settings)
        for free in ("checkpoint_steps", "context_cache_tokens"):
            del chosen[free]
        what = [self._base.digest, chosen, {name: version(name) for name in _LIBRARIES}]
        return "lora-" + hashlib.sha256(canonical_json(what).encode()).hexdigest()[:16]

    def train(
        self,
        rows: Sequence[TrainingRow],
        validation: Sequence[TrainingRow],
        workdir: Path,
        progress: Progress | None = None,
    ) -> TrainedModel:
        """Trains, proves and stores. Raises NotEnoughLabels when there are no rows."""
        if not rows:
            raise NotEnoughLabels("There are no rows to train on: the documents hold no accepted label's answer.")
        begun = time.monotonic()
        self._start_or_resume(rows, workdir)
        if progress:
            progress("training: loading the base model", 0, 1)
        loaded = load_base_model(self._base, threads=self._threads)
        encoder = RowEncoder(loaded.tokenizer)
        packs = [pack(part, encoder, self._settings.max_block_tokens) for part in (rows, validation)]
        tuned, metrics = self._fit(loaded.model, packs[0], packs[1], workdir, progress)
        adapter = self._save(tuned, loaded.tokenizer, encoder, workdir / "adapter")
        trained = ModelRef(kind="lora", base=self._base.name, base_digest=self._base.digest, adapter=adapter)
        seconds = time.monotonic() - begun
        return TrainedModel(trained, {**metrics, "rows": float(len(rows)), "seconds": seconds}, seconds)

    def _start_or_resume(self, rows: Sequence[TrainingRow], workdir: Path) -> None:
        """Checkpoints of other rows or settings are cleared; so are those a kill left half written."""
        content = [[row.label_id, [[m.role, m.content] for m in row.prompt], row.completion] for row in rows]
        intent = hashlib.sha256(canonical_json([self.fingerprint, content]).encode()).hexdigest()
        note = workdir / "rows.sha256"
        same = note.exists() and note.read_text() == intent
        for checkpoint in workdir.glob("checkpoint-*"):
            if not (same and _whole(checkpoint)):
                shutil.rmtree(checkpoint)
        workdir.mkdir(parents=True, exist_ok=True)
        note.write_text(intent)

    def _fit(
        self, base: Any, packs: list[Pack], validation: list[Pack], workdir: Path, progress: Progress | None
    ) -> tuple[Any, dict[str, float]]:
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import PrinterCallback

        from infra.adapters.lora_loop import PackedTrainer, Reporting, mean_loss

        chosen = self._settings
        torch.manual_seed(chosen.seed)
        config = LoraConfig(
            r=chosen.rank, lora_alpha=chosen.alpha, target_modules="all-linear", task_type="CAUSAL_LM", bias="none"
        )
        model = get_peft_model(base, config)
        lanes = 1 if torch.cuda.is_available() else min(chosen.packs_per_step, self._cores())
        tokens = sum(len(block.read) for one in packs for block in one.blocks)
        trainer = PackedTrainer(
            context_cache_tokens=chosen.context_cache_tokens,
            lanes=lanes,
            model=model,
            args=_arguments(chosen, workdir),
            train_dataset=packs,
            callbacks=[Reporting(progress, tokens)] if progress else [],
        )
        trainer.remove_callback(PrinterCallback)  # standard output belongs to the command line's --json
        newest = max(workdir.glob("checkpoint-*"), key=_step, default=None)
        with _torch_threads(max(1, self._cores() // lanes)):
            result = trainer.train(resume_from_checkpoint=str(newest) if newest else None)
        metrics = {"loss": float(result.training_loss), "steps": float(result.global_step), "tokens": float(tokens)}
        if validation:
            metrics["validation_loss"] = mean_loss(model, validation)
        return model, metrics

    def _cores(self) -> int:
        return self._threads or os.cpu_count() or 1

    def _save(self, tuned: Any, tokenizer: Any, encoder: RowEncoder, folder: Path) -> str:
        """The adapter's weights, its configuration and its proof, into the artifact store; returns the digest."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        write_adapter(folder, tuned, base_name=self._base.name, invocation=encoder.invocation)
        write_proof(folder, tuned.unload(), tokenizer)
        return self._artifacts.put(folder)


def write_adapter(folder: Path, tuned: Any, *, base_name: str, invocation: Sequence[int]) -> None:
    """`adapter_model.safetensors` and `adapter_config.json`, equal bytes for equal weights.

    invocation: the tokens that wake it; none for a plain adapter that is always active. PEFT's own save writes sets in
    hash order, the base's local path, and a model card.
    """
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in get_peft_model_state_dict(tuned).items()}
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = tuned.peft_config["default"].to_dict()
    config |= {"base_model_name_or_path": base_name, "inference_mode": True}
    config |= {"alora_invocation_tokens": list(invocation) or None}
    plain = {name: sorted(value) if isinstance(value, set | frozenset) else value for name, value in config.items()}
    plain["target_modules"] = sorted(plain["target_modules"])
    (folder / "adapter_config.json").write_text(json.dumps(plain, sort_keys=True, indent=1) + "\n")


def _arguments(chosen: LoraSettings, workdir: Path) -> Any:
    import torch
    from transformers import TrainingArguments

    return TrainingArguments(
        output_dir=str(workdir),
        num_train_epochs=chosen.epochs,
        per_device_train_batch_size=chosen.packs_per_step,
        learning_rate=chosen.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=chosen.warmup_fraction,
        max_grad_norm=chosen.max_grad_norm,
        weight_decay=0.0,
        optim="adamw_torch",
        seed=chosen.seed,
        save_steps=chosen.checkpoint_steps,
        save_total_limit=2,
        logging_steps=1,
        disable_tqdm=True,
        report_to="none",
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        use_cpu=not torch.cuda.is_available(),
    )


@contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    """As many threads for every operation, in threads that start inside too."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _whole(checkpoint: Path) -> bool:
    """Trainer writes trainer_state.json last; a kill may cut it short."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    return True


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("checkpoint-"))
