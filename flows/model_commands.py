"""Models and what they were trained on, as commands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.terminal import Shown, minute, table

if TYPE_CHECKING:
    from infra.workbench import Workbench
    from tasks.core.model_registry import RegistryEntry
    from tasks.training import RegisteredModel


def show_models(bench: Workbench) -> Shown:
    """Every model: base, adapters, hosted; its state, the releases that use it, and where it comes from.

    A vendor's job that has made none stands among them, with the job's state.
    """
    from flows.hosted_jobs import job_as_json

    entries, trained = _registry(bench), {model.id: model for model in bench.trainings.models(bench.assistant)}
    data = [_entry(entry, trained.get(entry.id)) for entry in entries]
    jobs = bench.hosted_jobs.jobs(bench.assistant)
    rows = [
        (
            x["model"][:22],
            x["kind"],
            x["state"],
            ", ".join(x["releases"]) or "none",
            minute(x["created"]) if x["created"] else "",
            f"{x['lineage']['labels']} labels, snapshot {x['lineage']['snapshot']}" if x["lineage"] else "",
            _forgot(x["lineage"]["metrics"]) if x["lineage"] else "",
        )
        for x in data
    ]
    rows += [
        (
            job.job or job.intent,
            "hosted job",
            job.state,
            "none",
            "",
            f"{job.tokens:,} tokens, {job.cost_usd:.2f} USD",
            "",
        )
        for job in jobs
        if job.model not in trained
    ]
    text = table(("model", "kind", "state", "releases", "trained", "on", "forgot"), rows, widest=40)
    shown = {"models": data, "jobs": [job_as_json(job) for job in jobs]}
    return Shown(shown, text if rows else "No models yet. Start with `ratchet ingest PATH`.")


def _forgot(metrics: Mapping[str, float]) -> str:
    """How much worse it is at general exchanges than its base; nothing where that was not measured."""
    nats = metrics.get("forgetting_nats_per_token")
    return "" if nats is None else f"{nats:+.3f} nats/token"


def show_export(bench: Workbench, file: Path, dataset: str | None, model: str | None) -> Shown:
    """Writes exactly the rows that a model was trained on."""
    from tasks.datasets import Dataset, export_dataset

    found = _trained_on(bench, dataset, model)
    assert found.lineage.dataset is not None
    assert found.lineage.dataset_artifact is not None
    kept = Dataset(found.lineage.dataset, found.lineage.dataset_artifact)
    rows = export_dataset(bench.artifacts, kept, file)
    data = {"file": str(file), "dataset": kept.hash, "model": found.id, "rows": rows}
    return Shown(data, f"{file}: {rows:,} rows, which model {found.id} was trained on\nsha256 {kept.hash}")


def _trained_on(bench: Workbench, dataset: str | None, model: str | None) -> RegisteredModel:
    """The newest model of this dataset, or the model itself. Raises NotFound and UsageError, saying which there are."""
    from tasks.core.errors import NotFound, UsageError

    if (dataset is None) == (model is None):
        raise UsageError("Say which rows: --dataset HASH or --model MODEL, one of them. See `ratchet models`.")
    models = bench.trainings.models(bench.assistant)
    if dataset is not None:
        found = [one for one in models if (one.lineage.dataset or "").startswith(dataset)][:1]
    else:
        found = [one for one in models if one.id.startswith(str(model))]
    wanted = dataset or model
    if len(found) != 1:
        many = f"{len(found)} models begin with" if found else "There is no"
        raise NotFound(f"{many} {'dataset' if dataset else 'trained model'} {wanted}. See `ratchet models`.")
    if found[0].lineage.dataset is None:
        raise NotFound(f"Model {found[0].id} was trained by a version that kept no rows. Train again to have them.")
    return found[0]


def _registry(bench: Workbench) -> tuple[RegistryEntry, ...]:
    from tasks.core.model_registry import registry
    from tasks.releases import states

    rows, history = bench.releases.releases(bench.assistant), bench.releases.history(bench.assistant)
    words = states(
        rows, bench.releases.standing(bench.assistant), history, bench.document_catalog.reclaimed(bench.assistant)
    )
    trained = [model.ref for model in bench.trainings.models(bench.assistant)]
    adapters = {ref.adapter for ref in (*trained, *(row.manifest.model for row in rows)) if ref.adapter}
    return registry(
        trained,
        [(row.id, row.manifest.model) for row in rows],
        words,
        {adapter for adapter in adapters if bench.artifacts.exists(adapter)},
        bench.anchors.anchor(bench.assistant),
    )


def _entry(entry: RegistryEntry, made: RegisteredModel | None) -> dict[str, Any]:
    lineage = made.lineage if made else None
    return {
        "model": entry.id,
        "kind": entry.ref.kind,
        "base": entry.ref.base,
        "base_digest": entry.ref.base_digest,
        "state": entry.state,
        "releases": dict(entry.releases),
        "created": made.created_at if made else None,
        "lineage": lineage
        and {
            "training": lineage.training,
            "trainer": lineage.trainer,
            "method": lineage.method,
            "started_from": lineage.started_from,
            "snapshot": lineage.snapshot.number,
            "labels": len(lineage.label_ids),
            "rows": lineage.rows,
            "dataset": lineage.dataset,
            "metrics": dict(lineage.metrics),
        },
    }
