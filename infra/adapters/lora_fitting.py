"""Fitting an adapter in this process: a training job in, a proved adapter in its folder out.

The adapter is active only after the passages (PEFT: `alora_invocation_tokens`). Training never needs to switch it off:
contexts are read by the base alone, and every token of the blocks after them is the adapter's. A DoRA adapter is active
everywhere, so it reads the contexts in training too.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from infra.adapters.adapter_proof import write_proof
from infra.adapters.base_models import load_base_model
from infra.adapters.lora_packing import Pack, RowEncoder, pack
from infra.adapters.lora_settings import LoraSettings
from infra.adapters.lora_trainer import CURVES, TrainingJob
from infra.adapters.training_ranks import ALONE, Ranks, require_ranks
from tasks.core.errors import BadSetting
from tasks.core.ports import Progress
from tasks.documents import stopping


def fit(job: TrainingJob, progress: Progress | None = None, ranks: Ranks = ALONE) -> dict[str, float]:
    """Metrics of the adapter that is left in the job's folder. Goes on from its checkpoints.

    Raises TrainingInterrupted after writing a checkpoint when `stopping` is set. ranks: who else fits it; the first
    leaves the adapter.
    """
    require_ranks(ranks, job.settings.processes)
    require_possible(job.settings)
    if ranks.first:
        start_or_resume(job.workdir, job.intent)
    ranks.wait()
    if progress:
        progress("training: loading the base model", 0, 1)
    loaded = load_base_model(job.base, threads=job.threads and _cores(job), quantized=job.settings.quantized == "nf4")
    encoder = RowEncoder(loaded.tokenizer)
    packs, validation = (
        pack(part, encoder, job.settings.max_block_tokens, whole=job.settings.use_dora)
        for part in (job.rows, job.validation)
    )
    tuned, metrics = _fit(loaded.model, packs, validation, job, progress, ranks)
    if not ranks.first:
        return metrics
    from infra.adapters.forgetting import forgotten  # imports torch: what is refused is refused before that
    from infra.adapters.lora_watching import require_wanted

    metrics |= forgotten(tuned, job.general, encoder, progress, whole=job.settings.use_dora)
    require_wanted()
    shutil.rmtree(job.adapter, ignore_errors=True)
    job.adapter.mkdir()
    invocation = () if job.settings.use_dora else encoder.invocation
    write_adapter(job.adapter, tuned, base_name=job.base.name, invocation=invocation)
    exact = tuned.unload() if job.settings.quantized == "none" else load_base_model(job.base).model
    write_proof(job.adapter, exact, loaded.tokenizer)  # of the base as it is served
    return metrics


def require_possible(chosen: LoraSettings) -> None:
    """Raises BadSetting for what this machine or its packages cannot do."""
    if chosen.quantized != "none":
        import torch

        wanted = {"a CUDA GPU": torch.cuda.is_available(), "the package bitsandbytes": find_spec("bitsandbytes")}
        if missing := " and ".join(name for name, there in wanted.items() if not there):
            raise BadSetting(
                f"RATCHET_LORA__QUANTIZED={chosen.quantized} wants {' and '.join(wanted)}; not here: {missing}. Unset "
                "it: without it the base stays in its own precision."
            )
    if chosen.report_to != "none":
        from transformers.integrations import get_available_reporting_integrations

        if chosen.report_to not in get_available_reporting_integrations():
            raise BadSetting(
                f"RATCHET_LORA__REPORT_TO={chosen.report_to} wants a package that is not installed here. Install "
                f"{chosen.report_to}, or set it to none."
            )


def start_or_resume(workdir: Path, intent: str) -> None:
    """Checkpoints of other rows or settings are cleared; so are those a kill left half written."""
    note = workdir / "rows.sha256"
    same = note.exists() and note.read_text() == intent
    for checkpoint in workdir.glob("checkpoint-*"):
        if not (same and _whole(checkpoint)):
            shutil.rmtree(checkpoint)
    workdir.mkdir(parents=True, exist_ok=True)
    note.write_text(intent)


def newest_checkpoint(workdir: Path) -> Path | None:
    """The checkpoint to go on from."""
    return max(workdir.glob("checkpoint-*"), key=_step, default=None)


def _fit(
    base: Any, packs: list[Pack], validation: list[Pack], job: TrainingJob, progress: Progress | None, ranks: Ranks
) -> tuple[Any, dict[str, float]]:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import PrinterCallback

    from infra.adapters.lora_loop import PackedTrainer, Reporting, checkpoint_layers, mean_loss
    from infra.adapters.lora_watching import EndWhenAsked, LossWatch, ValidationWatch, measured, training_curve

    chosen, cores = job.settings, _cores(job)
    torch.manual_seed(chosen.seed)
    config = LoraConfig(
        r=chosen.rank,
        lora_alpha=chosen.alpha,
        use_rslora=chosen.rslora,
        use_dora=chosen.use_dora,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
        bias="none",
    )
    model = get_peft_model(base, config)
    if chosen.gradient_checkpointing:
        checkpoint_layers(model)
    lanes = 1 if torch.cuda.is_available() else min(-(-chosen.packs_per_step // ranks.world), cores)
    tokens = sum(len(block.read) for one in packs for block in one.blocks)  # and contexts, where it reads them
    tokens += sum(len(one.context) for one in packs if one.whole)
    ending = EndWhenAsked(stopping.get(), ranks)
    watch = ValidationWatch(
        model, validation, job.workdir, every=chosen.validation_steps or 1, patience=chosen.patience, ranks=ranks
    )
    callbacks = [ending, LossWatch(chosen.max_loss_growth)]
    callbacks += [watch] if validation and chosen.validation_steps else []
    callbacks += [Reporting(progress, tokens)] if progress else []
    trainer = PackedTrainer(
        context_cache_tokens=chosen.context_cache_tokens,
        lanes=lanes,
        ranks=ranks,
        model=model,
        args=_arguments(chosen if ranks.first else chosen.model_copy(update={"report_to": "none"}), job.workdir),
        train_dataset=packs,
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)  # standard output belongs to the command line's --json
    newest = newest_checkpoint(job.workdir)
    with _torch_threads(max(1, cores // lanes)):
        result = trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    ending.require_whole(trainer.state)
    metrics = {"loss": float(result.training_loss), "steps": float(result.global_step), "tokens": float(tokens)}
    if not ranks.first:
        return model, metrics
    watch.take_best()
    if validation:
        metrics["validation_loss"] = mean_loss(model, measured(validation, "validation", progress))
        watch.looks.append((result.global_step, metrics["validation_loss"]))
    curves = {"training": list(enumerate(training_curve(trainer.state), start=1)), "validation": watch.looks}
    (job.workdir / CURVES).write_text(json.dumps(curves))
    return model, metrics


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
        report_to=chosen.report_to,
        logging_nan_inf_filter=False,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        use_cpu=not torch.cuda.is_available(),
    )


def _cores(job: TrainingJob) -> int:
    """Of one process of the training."""
    return max(1, (job.threads or os.cpu_count() or 1) // job.settings.processes)


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
