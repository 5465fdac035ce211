"""Steps from rows to a registered model: made once, by one process at a time, with what is kept of its making."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import replace

from tasks.core.ports import ArtifactStore, Progress, TrainedModel
from tasks.core.releases import ModelRef
from tasks.core.retraining import intent_id
from tasks.datasets import dataset_lines, keep_lines
from tasks.training import Lineage, RenderedRows, TrainingBench, TrainingReport
from tasks.training_records import keep_record
from tasks.training_turns import training_turn


def train_and_register(bench: TrainingBench, rows: RenderedRows, progress: Progress | None = None) -> TrainingReport:
    """The model of these rows: trained now, or found when the same training has succeeded before.

    Raises what the trainer and the artifact store raise, after noting it: a failed training consumes no label.
    """
    trainer = bench.trainer.fingerprint
    training = intent_id(rows.train, rows.validation, trainer)
    lineage = Lineage(training, trainer, rows.snapshot, rows.label_ids, len(rows.train), metrics={})
    lines = dataset_lines(rows.train, rows.validation)

    def made() -> TrainedModel:
        return bench.trainer.train(rows.train, rows.validation, bench.workdir / training, progress)

    return trained_once(bench, lineage, lines, made, progress)


def trained_once(
    bench: TrainingBench,
    lineage: Lineage,
    lines: Iterable[bytes] | None,
    make: Callable[[], TrainedModel],
    progress: Progress | None = None,
) -> TrainingReport:
    """The model of a training that succeeded before, or the one that is made now. Raises what making it raises.

    lineage: what is known before the training. lines: the rows, as they are kept; None: they are. While another process
    trains the same here, this one waits, and takes what that made. What a vendor trains is paid for, so lineage and
    rows are kept before it begins: whoever comes later can register its model.
    """
    turn = f"training/{lineage.training}"  # of all assistants: the same training has one work folder
    with training_turn(bench.leases, turn, progress) if bench.leases else nullcontext():
        return _trained(bench, lineage, lines, make)


def _trained(
    bench: TrainingBench, lineage: Lineage, lines: Iterable[bytes] | None, make: Callable[[], TrainedModel]
) -> TrainingReport:
    training = lineage.training
    known = bench.trainings.made_by(bench.assistant, training)
    if known is not None and _is_there(known.ref, bench.artifacts):
        return TrainingReport(known, lineage.rows, 0.0)
    begun = _with_rows(lineage, lines, bench.artifacts) if bench.hosted else lineage
    bench.trainings.start(bench.assistant, training, lineage.label_ids, begun if bench.hosted else None)
    try:
        trained = make()
        whole = _whole(_with_rows(begun, lines, bench.artifacts), trained, bench.artifacts)
    except Exception as error:
        bench.trainings.fail(bench.assistant, training, f"{type(error).__name__}: {error}")
        raise
    model = bench.trainings.succeed(bench.assistant, trained.model, whole)
    return TrainingReport(model, lineage.rows, trained.seconds)


def _is_there(model: ModelRef, artifacts: ArtifactStore | None) -> bool:
    """Whether a model can still answer: vacuum takes an adapter with the last release that could be asked."""
    return artifacts is None or model.adapter is None or artifacts.exists(model.adapter)


def _with_rows(lineage: Lineage, lines: Iterable[bytes] | None, artifacts: ArtifactStore | None) -> Lineage:
    """With where its rows are kept."""
    if artifacts is None or lines is None or lineage.dataset_artifact is not None:
        return lineage
    kept = keep_lines(artifacts, lines)
    return replace(lineage, dataset=kept.hash, dataset_artifact=kept.artifact)


def _whole(lineage: Lineage, trained: TrainedModel, artifacts: ArtifactStore | None) -> Lineage:
    """With what the training measured, and where its curves and manifest are kept."""
    record = None if artifacts is None else keep_record(artifacts, trained, lineage.dataset)
    return replace(lineage, metrics=dict(trained.metrics), record=record)
