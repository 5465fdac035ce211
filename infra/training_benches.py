"""What the steps of a training take: labels and a trainer here, a vendor, people's opinions, and the choice of them."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from infra.adapters import open_hosted
from infra.adapters.lora_trainer import LoraTrainer
from infra.adapters.preference_trainer import PreferenceTrainer
from infra.adapters.training_process import ChildFitting, ChildPreferenceFitting
from tasks.core.contributors import ShareLimit
from tasks.core.errors import BadSetting
from tasks.core.pace import Blessing
from tasks.core.releases import ModelRef
from tasks.core.retraining import RetrainTiming
from tasks.core.taught_rows import OpinionMethod
from tasks.core.training_method import MethodLimits
from tasks.core.training_rows import RowSettings
from tasks.hosted_trainer import HostedTrainer
from tasks.hosted_training import HostedBench
from tasks.preferences import PreferenceBench
from tasks.training import TrainingBench
from tasks.training_choice import ChoiceBench

if TYPE_CHECKING:
    from infra.workbench import Workbench


def training_bench(bench: Workbench) -> TrainingBench:
    """For tasks.training: LoRA on the base model, in a process of its own."""
    settings = bench.settings
    trainer = LoraTrainer(
        bench.base_model,
        bench.artifacts,
        settings.lora,
        threads=settings.torch_threads,
        fitting=ChildFitting(settings.training_python),
    )
    return TrainingBench(
        assistant=bench.assistant,
        labels=bench.label_catalog,
        trainings=bench.trainings,
        retrieval=bench.retrieval,
        trainer=trainer,
        workdir=bench.home / "trainings",
        threshold=settings.retrain_threshold,
        timing=RetrainTiming(
            min_interval_hours=settings.retrain_min_interval_hours,
            max_age_days=settings.retrain_max_age_days,
        ),
        rows=RowSettings(closed_book_fraction=settings.closed_book_fraction),
        replay_fraction=settings.replay_fraction,
        artifacts=bench.artifacts,
        share=ShareLimit(settings.max_share_per_contributor),
        leases=bench.leases,
    )


def hosted_bench(bench: Workbench) -> HostedBench:
    """For tasks.hosted_training. Raises BadSetting where no vendor is configured."""

    def golden() -> list[str]:
        return [x.asked for x in bench.label_catalog.labels(bench.assistant) if x.split == "golden"]

    return open_hosted.hosted_bench(bench.settings, bench.engine, assistant=bench.assistant, golden=golden)


def bench_at_the_vendor(bench: Workbench, *, another: bool) -> TrainingBench:
    """The training bench, at the vendor. another: a new attempt where the last ended without a model."""
    return replace(bench.training, trainer=HostedTrainer(bench.hosted, another), hosted=bench.hosted, leases=None)


def preference_bench(bench: Workbench, start: ModelRef, method: OpinionMethod) -> PreferenceBench:
    """For tasks.preferences. start: the model to begin with. Raises BadSetting for one that is not of this base."""
    base, settings = bench.base_model, bench.settings
    if start.kind == "hosted" or start.base_digest != base.digest:
        raise BadSetting(
            f"Preferences are learned here by the base model {base.name} or an adapter on it, and "
            f"{start.base} is served. Train one first (`ratchet train --method lora`), or set RATCHET_BASE_MODEL."
        )
    trainer = PreferenceTrainer(
        base,
        bench.artifacts,
        start.adapter,
        settings.preferences,
        settings.lora,
        method=method,
        threads=settings.torch_threads,
        fitting=ChildPreferenceFitting(settings.training_python),
    )
    return PreferenceBench(bench.training, trainer, start.adapter, method)


def choice_bench(bench: Workbench) -> ChoiceBench:
    """For tasks.training_choice."""
    return ChoiceBench(
        open_hosted=lambda: bench.hosted if bench.settings.hosted_base_model else None,
        models=lambda: bench.trainings.models(bench.assistant),
        answered=lambda: _answered(bench),
        limits=MethodLimits(bench.settings.train_here_seconds, bench.settings.answer_here_seconds),
        now=time.time,
    )


def _answered(bench: Workbench) -> list[tuple[str, Blessing]]:
    kinds = {row.id: row.manifest.model.kind for row in bench.releases.releases(bench.assistant)}
    newest_first = bench.releases.history(bench.assistant)[::-1]
    return [(kinds[one.release], one.rehearsal) for one in newest_first if one.rehearsal is not None]
