"""How a model came to be, kept beside it: its curves, and a manifest that is written last."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks.core.ports import ArtifactStore, TrainedModel

CURVES = "curves.json"
MANIFEST = "manifest.json"


def keep_record(artifacts: ArtifactStore, trained: TrainedModel, dataset: str | None) -> str:
    """The digest of a folder with the curves and the manifest: base, dataset hash, settings, versions and metrics.

    It lies beside the adapter and not in it: the adapter's digest says which weights, not how long they took.
    """
    manifest = {
        "model": trained.model.model_dump(mode="json"),
        "dataset": dataset,
        "metrics": dict(trained.metrics),
        **trained.origin,
    }
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / CURVES).write_text(json.dumps(dict(trained.curves), sort_keys=True) + "\n")
        (folder / MANIFEST).write_text(json.dumps(manifest, sort_keys=True, indent=1) + "\n")
        return artifacts.put(folder)


def curve_table(curves: Mapping[str, Sequence[tuple[int, float]]], rows: int = 20) -> str:
    """Markdown: about so many steps, and every step at which the validation loss was looked at."""
    training, validation = dict(curves.get("training", ())), dict(curves.get("validation", ()))
    every = max(1, len(training) // rows)
    shown = sorted({step for step in training if step % every == 0} | set(validation))
    lines = [f"| {step} | {_said(training.get(step))} | {_said(validation.get(step))} |" for step in shown]
    return "\n".join(["| step | training loss | validation loss |", "|---|---|---|", *lines]) + "\n"


def _said(loss: float | None) -> str:
    return "" if loss is None else f"{loss:.3f}"
