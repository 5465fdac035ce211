"""LoRA on a base model: rows in, an adapter in the artifact store out. Imports no torch: what fits the weights does.

workdir/rows.sha256      what these checkpoints were made from; other rows start over
workdir/checkpoint-N/    of `transformers.Trainer`: pickles of our own, never shipped, never loaded from elsewhere
workdir/adapter/         safetensors and JSON, as it goes into the artifact store
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal, Protocol

from infra.adapters.base_models import BaseModel
from infra.adapters.general_exchanges import general_digest, general_rows
from infra.adapters.lora_settings import FREE, LoraSettings
from tasks.core.errors import NotEnoughLabels
from tasks.core.ports import ArtifactStore, Progress, TrainedModel, TrainingRow
from tasks.core.releases import ModelRef, canonical_json

DISTRIBUTION = "ratchet"
CURVES = "curves.json"
LIBRARIES = ("torch", "transformers", "peft")


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """Everything that fitting an adapter takes. threads: for torch on a CPU; 0 leaves its own choice."""

    base: BaseModel
    settings: LoraSettings
    threads: int
    rows: tuple[TrainingRow, ...]
    validation: tuple[TrainingRow, ...]
    workdir: Path
    intent: str  # checkpoints of another one are not gone on from
    general: tuple[TrainingRow, ...] = ()  # what forgetting is measured on; none: it is not
    kind: Literal["rows"] = "rows"

    @property
    def adapter(self) -> Path:
        """Where the adapter is left."""
        return self.workdir / "adapter"


class Fitting(Protocol):
    """Fits an adapter and leaves it, with its proof, in the job's folder."""

    def versions(self) -> Mapping[str, str]:
        """Of the libraries that it fits with."""

    def fit(self, job: TrainingJob, progress: Progress | None = None) -> dict[str, float]:
        """Metrics of the fitted adapter.

        Raises TrainingInterrupted after writing a checkpoint when `stopping` is set, and LossDiverged.
        """


class LoraTrainer:
    """Trainer port on transformers and PEFT."""

    def __init__(
        self,
        base: BaseModel,
        artifacts: ArtifactStore,
        settings: LoraSettings | None = None,
        *,
        threads: int = 0,
        fitting: Fitting | None = None,
    ) -> None:
        """Loads nothing yet. threads: for torch on a CPU; 0 leaves its own choice. fitting: none: in this process."""
        self._base = base
        self._artifacts = artifacts
        self._settings = settings or LoraSettings()
        self._threads = threads
        self._fitting = fitting or _Here()

    @property
    def fingerprint(self) -> str:
        """`lora-` and 16 hex digits. Checkpoint intervals and caches are not in it: they change no weight."""
        # Settings that came later are named only where they change the adapter: what was trained before keeps its name.
        later = {"processes": self._settings.processes > 1, "use_dora": self._settings.use_dora}
        free = {*FREE, *(name for name, counts in later.items() if not counts)}
        what = [self._base.digest, self._settings.model_dump(exclude=free), dict(self._fitting.versions())]
        return "lora-" + hashlib.sha256(canonical_json(what).encode()).hexdigest()[:16]

    def train(
        self,
        rows: Sequence[TrainingRow],
        validation: Sequence[TrainingRow],
        workdir: Path,
        progress: Progress | None = None,
    ) -> TrainedModel:
        """Trains, proves and stores. Raises NotEnoughLabels when there are no rows, and what fitting raises."""
        if not rows:
            raise NotEnoughLabels("There are no rows to train on: the documents hold no accepted label's answer.")
        begun = time.monotonic()
        job = TrainingJob(
            base=self._base,
            settings=self._settings,
            threads=self._threads,
            rows=tuple(rows),
            validation=tuple(validation),
            workdir=workdir.resolve(),
            intent=self._intent(rows),
            general=general_rows(rows[0]) if self._settings.forgetting else (),
        )
        metrics = self._fitting.fit(job, progress)
        trained = ModelRef(
            kind="lora",
            base=self._base.name,
            base_digest=self._base.digest,
            adapter=self._artifacts.put(job.adapter),
        )
        seconds = time.monotonic() - begun
        return TrainedModel(
            trained,
            {**metrics, "rows": float(len(rows)), "seconds": seconds},
            seconds,
            origin={
                "settings": self._settings.model_dump(),
                "libraries": dict(self._fitting.versions()),
                "code": version(DISTRIBUTION),
                "trainer": self.fingerprint,
                "general_exchanges": general_digest() if job.general else None,
            },
            curves=json.loads((job.workdir / CURVES).read_text()),
        )

    def _intent(self, rows: Sequence[TrainingRow]) -> str:
        content = [[row.label_id, [[m.role, m.content] for m in row.prompt], row.completion] for row in rows]
        return hashlib.sha256(canonical_json([self.fingerprint, content]).encode()).hexdigest()


class _Here:
    """Fitting in this process, which then holds torch."""

    def versions(self) -> Mapping[str, str]:
        return {name: version(name) for name in LIBRARIES}

    def fit(self, job: TrainingJob, progress: Progress | None = None) -> dict[str, float]:
        from infra.adapters.lora_fitting import fit

        return fit(job, progress)
