"""Pairs and ratings as TRL's trainers take them: tokens, spelled as serving spells them.

Imports torch and TRL: import it inside functions.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer

from infra.adapters.lora_packing import RowEncoder
from infra.adapters.preference_trainer import PreferenceJob
from tasks.core.ports import TrainingRow
from tasks.core.preference_rows import PreferenceRow
from tasks.core.rating_rows import RatingRow, kinds, weights
from tasks.core.taught_rows import TaughtRow


class _Encoded:
    """Takes examples as they are, and writes no model card: a checkpoint of ours is nobody's to publish."""

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset

    def create_model_card(self, *_: Any, **__: Any) -> None:
        pass


class EncodedDPO(_Encoded, DPOTrainer):  # type: ignore[misc]  # TRL is not typed
    """Of pairs."""


class EncodedKTO(_Encoded, KTOTrainer):  # type: ignore[misc]
    """Of ratings, in the order they come."""


def trainer_of(job: PreferenceJob, examples: Any, encoder: RowEncoder, **parts: Any) -> Any:
    """TRL's trainer of the job's method."""
    made, configured = (EncodedKTO, KTOConfig) if job.method == "kto" else (EncodedDPO, DPOConfig)
    options = _arguments(job)
    if job.method == "kto":
        good, bad = weights(*kinds(row for row in job.rows if isinstance(row, RatingRow)))
        options |= {"desirable_weight": good, "undesirable_weight": bad, "train_sampling_strategy": "sequential"}
    validation = encoded(job, job.validation, encoder) if job.validation else None
    return made(args=configured(**options), train_dataset=examples, eval_dataset=validation, **parts)


def encoded(job: PreferenceJob, rows: Sequence[TaughtRow], encoder: RowEncoder) -> Any:
    """The rows as TRL's collators take them. Raises BadSetting for a prompt that does not wake the adapter."""
    pairs = [_pair(row, encoder) for row in rows if isinstance(row, PreferenceRow)]
    rated = [_rated(row, encoder) for row in rows if isinstance(row, RatingRow)]
    return Dataset.from_list(pairs or _with_strangers(rated, job))


def _pair(row: PreferenceRow, encoder: RowEncoder) -> dict[str, list[int]]:
    prompt, chosen = _read(row, row.chosen, encoder)
    return {"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": _read(row, row.rejected, encoder)[1]}


def _rated(row: RatingRow, encoder: RowEncoder) -> dict[str, Any]:
    prompt, completion = _read(row, row.completion, encoder)
    return {"prompt_ids": prompt, "completion_ids": completion, "label": row.good}


def _read(row: TaughtRow, answer: str, encoder: RowEncoder) -> tuple[list[int], list[int]]:
    context, block = encoder.encode(TrainingRow(row.label_id, row.prompt, answer))
    return [*context, *block.question], list(block.completion)


def _with_strangers(rated: list[dict[str, Any]], job: PreferenceJob) -> list[dict[str, Any]]:
    """In a drawn order, each with the answer of its neighbour in the step: by those KTO tells how far the model moved.

    TRL then reads them in this order in every epoch, so that the neighbours stay those of one step.
    """
    drawn = random.Random(job.settings.seed).sample(rated, len(rated))
    steps = [drawn[at : at + job.rows_per_step] for at in range(0, len(drawn), job.rows_per_step)]
    return [
        one | {"KL_completion_ids": step[at - 1]["completion_ids"]} for step in steps for at, one in enumerate(step)
    ]


def _arguments(job: PreferenceJob) -> dict[str, Any]:
    chosen = job.settings
    return {
        "output_dir": str(job.workdir),
        "beta": chosen.beta,
        "num_train_epochs": chosen.epochs,
        "per_device_train_batch_size": job.rows_at_once,
        "gradient_accumulation_steps": job.rows_per_step // job.rows_at_once,
        "per_device_eval_batch_size": job.rows_at_once,
        "learning_rate": chosen.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": chosen.warmup_fraction,
        "max_grad_norm": chosen.max_grad_norm,
        "weight_decay": 0.0,
        "optim": "adamw_torch",
        "seed": chosen.seed,
        "save_steps": chosen.checkpoint_steps,
        "save_total_limit": 2,
        "logging_steps": 1,
        "disable_tqdm": True,
        "report_to": job.lora.report_to,
        "logging_nan_inf_filter": False,
        "max_length": None,
        "pad_to_multiple_of": None,
        "bf16": False,  # as the base is loaded, and not by autocast
        "gradient_checkpointing": False,
        "dataloader_pin_memory": False,
        "use_cpu": not torch.cuda.is_available(),
    }
