"""Fitting an adapter to preferences or ratings in this process: a job in, a proved adapter in its folder out.

TRL reads whole sequences, so here the adapter is one that wakes at the invocation (PEFT: `alora_invocation_tokens`), as
it is served; a DoRA adapter is active everywhere. The reference of DPO and KTO is the adapter it began with: TRL keeps
a copy. Import it inside functions: it imports torch and TRL.
"""

from __future__ import annotations

import gc
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PrinterCallback

from infra.adapters.adapter_proof import verify_adapter, write_proof
from infra.adapters.base_models import LoadedBase, load_base_model
from infra.adapters.forgetting import forgotten
from infra.adapters.lora_fitting import newest_checkpoint, require_possible, start_or_resume, write_adapter
from infra.adapters.lora_loop import Reporting
from infra.adapters.lora_packing import RowEncoder
from infra.adapters.lora_trainer import CURVES
from infra.adapters.lora_watching import EndWhenAsked, LossWatch, require_wanted, training_curve
from infra.adapters.preference_examples import encoded, trainer_of
from infra.adapters.preference_trainer import PreferenceJob
from infra.adapters.training_ranks import ALONE, require_ranks
from tasks.core.ports import Progress
from tasks.documents import stopping

MARGINS, ACCURACIES = "rewards/margins", "rewards/accuracies"  # as TRL names them


def fit_preferences(job: PreferenceJob, progress: Progress | None = None) -> dict[str, float]:
    """Metrics of the adapter that is left in the job's folder. Goes on from its checkpoints.

    Raises TrainingInterrupted after writing a checkpoint when `stopping` is set, LossDiverged, BadSetting for what this
    machine cannot do, and AdapterBroken for a start that is not what was trained.
    """
    require_ranks(ALONE, job.lora.processes)
    require_possible(job.lora)
    start_or_resume(job.workdir, job.intent)
    metrics = _learn(job, progress)
    require_wanted()
    gc.collect()  # Trainer, model and optimizer hold each other, and TRL has changed how that base computes
    fresh = load_base_model(job.base, threads=job.threads)
    encoder = RowEncoder(fresh.tokenizer)
    plain, whole = _always_active(fresh.model, job.adapter)
    metrics |= forgotten(plain, job.general, encoder, progress, whole=whole)
    require_wanted()
    write_proof(job.adapter, plain.unload(), fresh.tokenizer)
    return metrics


def _learn(job: PreferenceJob, progress: Progress | None) -> dict[str, float]:
    """Leaves the adapter, without its proof, in the job's folder."""
    if progress:
        progress("training: loading the base model", 0, 1)
    loaded = load_base_model(job.base, threads=job.threads)
    encoder = RowEncoder(loaded.tokenizer)
    tuned = _start(job, loaded, encoder)
    metrics = _fit(tuned, loaded.tokenizer, encoder, job, progress)
    shutil.rmtree(job.adapter, ignore_errors=True)
    job.adapter.mkdir()
    invocation = tuned.peft_config["default"].alora_invocation_tokens or ()
    write_adapter(job.adapter, tuned, base_name=job.base.name, invocation=invocation)
    return metrics


def _start(job: PreferenceJob, loaded: LoadedBase, encoder: RowEncoder) -> Any:
    torch.manual_seed(job.settings.seed)
    if job.start is not None:
        verify_adapter(job.start, loaded.model, loaded.tokenizer)
        return PeftModel.from_pretrained(loaded.model, str(job.start), is_trainable=True)
    config = LoraConfig(
        r=job.lora.rank,
        lora_alpha=job.lora.alpha,
        use_rslora=job.lora.rslora,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
        bias="none",
        use_dora=job.lora.use_dora,
        alora_invocation_tokens=None if job.lora.use_dora else list(encoder.invocation),
    )
    return get_peft_model(loaded.model, config)


def _fit(
    model: Any, tokenizer: Any, encoder: RowEncoder, job: PreferenceJob, progress: Progress | None
) -> dict[str, float]:
    examples = encoded(job, job.rows, encoder)
    read = [name for name in examples.column_names if name.endswith("_ids")]
    tokens = sum(len(ids) for name in read for ids in examples[name])
    ending = EndWhenAsked(stopping.get())
    callbacks = [ending, LossWatch(job.lora.max_loss_growth, "RATCHET_PREFERENCES__LEARNING_RATE")]
    trainer = trainer_of(
        job,
        examples,
        encoder,
        model=model,
        processing_class=tokenizer,
        callbacks=[*callbacks, *([Reporting(progress, tokens)] if progress else [])],
    )
    trainer.remove_callback(PrinterCallback)  # standard output belongs to the command line's --json
    newest = newest_checkpoint(job.workdir)
    result = trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    ending.require_whole(trainer.state)
    metrics = {"loss": float(result.training_loss), "steps": float(result.global_step), "tokens": float(tokens)}
    steps = [one for one in trainer.state.log_history if "loss" in one]
    # A step of ratings may hold one kind only, and no margin then.
    margins = [(one["step"], one[MARGINS] / job.settings.beta) for one in steps if MARGINS in one]
    looks: list[tuple[int, float]] = []
    if job.validation:
        seen = trainer.evaluate()
        metrics["validation_loss"] = seen["eval_loss"]
        if f"eval_{MARGINS}" in seen:
            metrics["validation_margin_nats"] = seen[f"eval_{MARGINS}"] / job.settings.beta
        if f"eval_{ACCURACIES}" in seen:
            metrics["validation_accuracy"] = seen[f"eval_{ACCURACIES}"]
        looks.append((result.global_step, seen["eval_loss"]))
    curves = {
        "training": list(enumerate(training_curve(trainer.state), start=1)),
        "validation": looks,
        "margin_nats": margins,
    }
    (job.workdir / CURVES).write_text(json.dumps(curves))
    return metrics


def _always_active(base: Any, adapter: Path) -> tuple[Any, bool]:
    """The same weights as a plain adapter, and whether it is one: the blocks of packs are all the adapter's."""
    config = LoraConfig.from_pretrained(str(adapter))
    whole = config.alora_invocation_tokens is None
    config.alora_invocation_tokens = None
    return PeftModel.from_pretrained(base, str(adapter), config=config), whole
