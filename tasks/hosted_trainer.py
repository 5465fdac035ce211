"""Training at a vendor as a Trainer: rows in, a hosted model out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.core.errors import NotEnoughLabels
from tasks.core.hosted_cost import Price, usd
from tasks.core.hosted_files import HostedFile, preference_file, supervised_file
from tasks.core.hosted_jobs import HostedJob
from tasks.core.ports import Progress, TrainedModel, TrainingRow
from tasks.core.releases import ModelRef, canonical_json
from tasks.core.retraining import intent_id
from tasks.core.taught_rows import TaughtRow, opinion_intent, pairs_of
from tasks.hosted_following import tune
from tasks.hosted_training import HostedBench


@dataclass(frozen=True, slots=True)
class HostedTrainer:
    """Trainer over a vendor. another: start a new attempt where the last one ended without a model."""

    bench: HostedBench
    another: bool = False

    @property
    def fingerprint(self) -> str:
        """`hosted-` and 16 hex digits. Prices, budgets and waits are not in it: they change no model."""
        plan = self.bench.plan
        what = [self.bench.vendor.name, plan.base, plan.method, plan.epochs, plan.seed, plan.beta]
        return "hosted-" + hashlib.sha256(canonical_json(what).encode()).hexdigest()[:16]

    def train(
        self,
        rows: Sequence[TrainingRow],
        validation: Sequence[TrainingRow],
        workdir: Path,
        progress: Progress | None = None,
    ) -> TrainedModel:
        """Uploads what `workdir` then holds as training.jsonl and validation.jsonl, and raises as `tune` does."""
        if not rows:
            raise NotEnoughLabels("There are no rows to train on: the documents hold no accepted label's answer.")
        intent = intent_id(rows, validation, self.fingerprint)
        checked = supervised_file(validation) if validation else None
        return self._tuned(intent, supervised_file(rows), checked, workdir, progress)

    def prefer(
        self,
        rows: Sequence[TaughtRow],
        validation: Sequence[TaughtRow],
        workdir: Path,
        progress: Progress | None = None,
    ) -> TrainedModel:
        """The same from preferences, by DPO: the plan's method must be that. Its base may be a model tuned before."""
        if not rows:
            raise NotEnoughLabels("There are no preferences to train on.")
        intent = opinion_intent(rows, validation, self.fingerprint)
        checked = preference_file(pairs_of(validation)) if validation else None
        return self._tuned(intent, preference_file(pairs_of(rows)), checked, workdir, progress)

    def _tuned(
        self,
        intent: str,
        training: HostedFile,
        validation: HostedFile | None,
        workdir: Path,
        progress: Progress | None,
    ) -> TrainedModel:
        for name, file in (("training", training), ("validation", validation)):
            _write(workdir / f"{name}.jsonl", file)
        begun = self.bench.now()
        job = tune(self.bench, intent, training, validation, progress, another=self.another)
        return trained_model(job, len(training.lines), self.bench.now() - begun, self.bench.plan.price)


def _write(path: Path, file: HostedFile | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if file is not None:
        path.write_bytes(file.content)


def trained_model(job: HostedJob, rows: int, seconds: float, price: Price) -> TrainedModel:
    """What a succeeded job made of so many rows. seconds: that were waited for it."""
    assert job.model is not None  # a succeeded job names its model
    billed = job.tokens if job.trained_tokens is None else job.trained_tokens
    metrics = {**job.metrics, "rows": float(rows), "seconds": seconds, "cost_usd": usd(billed, price)}
    return TrainedModel(ModelRef(kind="hosted", base=job.model, base_digest=""), metrics, seconds)
