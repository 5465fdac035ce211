"""DPO or KTO on a base model or an adapter: opinions in, an adapter in the artifact store out. Imports no torch.

The same folder, artifact and record as a LoRA training leaves (`lora_trainer.py`). What fits is TRL, which is an extra:
`pip install 'ratchet[preferences]'`. DPO, of preferences: Rafailov et al. 2023, arXiv:2305.18290. KTO, of ratings:
Ethayarajh et al. 2024, arXiv:2402.01306.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Protocol

from infra.adapters.base_models import BaseModel
from infra.adapters.general_exchanges import general_digest, general_rows
from infra.adapters.lora_settings import FREE as FREE_OF_LORA
from infra.adapters.lora_settings import LoraSettings
from infra.adapters.lora_trainer import CURVES, DISTRIBUTION, LIBRARIES
from infra.adapters.preference_settings import FREE, PreferenceSettings
from tasks.core.errors import BadSetting, NotEnoughLabels
from tasks.core.ports import ArtifactStore, Progress, TrainedModel, TrainingRow
from tasks.core.preference_rows import PreferenceRow
from tasks.core.rating_rows import RatingRow
from tasks.core.releases import ModelRef, canonical_json
from tasks.core.taught_rows import OpinionMethod, TaughtRow, opinion_intent

LIBRARIES_OF_PREFERENCES = (*LIBRARIES, "trl")


@dataclass(frozen=True, slots=True)
class PreferenceJob:
    """Everything that fitting an adapter to preferences takes. start: an adapter's folder; none: a new one."""

    base: BaseModel
    start: Path | None
    lora: LoraSettings
    settings: PreferenceSettings
    threads: int
    rows: tuple[PreferenceRow, ...] | tuple[RatingRow, ...]
    validation: tuple[PreferenceRow, ...] | tuple[RatingRow, ...]
    workdir: Path
    intent: str  # checkpoints of another one are not gone on from
    general: tuple[TrainingRow, ...] = ()  # what forgetting is measured on; none: it is not
    method: OpinionMethod = "dpo"
    kind: Literal["preferences"] = "preferences"

    @property
    def rows_per_step(self) -> int:
        """As many sequences by either method."""
        return self.settings.pairs_per_step * (2 if self.method == "kto" else 1)

    @property
    def rows_at_once(self) -> int:
        """A pair by itself, so that memory does not grow with a step. KTO judges an answer by the others of a step."""
        return self.rows_per_step if self.method == "kto" else 1

    @property
    def adapter(self) -> Path:
        """Where the adapter is left."""
        return self.workdir / "adapter"


class PreferenceFitting(Protocol):
    """Fits an adapter to preferences and leaves it, with its proof, in the job's folder."""

    def versions(self) -> Mapping[str, str]:
        """Of the libraries that it fits with. Raises BadSetting where one is missing."""

    def fit(self, job: PreferenceJob, progress: Progress | None = None) -> dict[str, float]:
        """Metrics of the fitted adapter. Raises TrainingInterrupted when `stopping` is set, and LossDiverged."""


class PreferenceTrainer:
    """Learns preferences, beginning with an adapter or with the base."""

    def __init__(
        self,
        base: BaseModel,
        artifacts: ArtifactStore,
        start: str | None = None,
        settings: PreferenceSettings | None = None,
        lora: LoraSettings | None = None,
        *,
        method: OpinionMethod = "dpo",
        threads: int = 0,
        fitting: PreferenceFitting | None = None,
    ) -> None:
        """Loads nothing yet. start: the adapter's digest in the artifact store. fitting: none: in this process."""
        self._base = base
        self._artifacts = artifacts
        self._start = start
        self._settings = settings or PreferenceSettings()
        self._lora = lora or LoraSettings()
        self._method = method
        self._threads = threads
        self._fitting = fitting or _Here()

    @property
    def fingerprint(self) -> str:
        """The method and 16 hex digits: of the start, the settings and the versions. Raises BadSetting without TRL."""
        what = [
            self._base.digest,
            self._start,
            self._lora.model_dump(exclude=set(FREE_OF_LORA)),
            self._settings.model_dump(exclude=set(FREE)),
            dict(self._fitting.versions()),
            *(["a pair at a time"] if self._method == "dpo" else []),
        ]
        return f"{self._method}-" + hashlib.sha256(canonical_json(what).encode()).hexdigest()[:16]

    def prefer(
        self,
        rows: Sequence[TaughtRow],
        validation: Sequence[TaughtRow],
        workdir: Path,
        progress: Progress | None = None,
    ) -> TrainedModel:
        """Trains, proves and stores.

        Raises NotEnoughLabels when there are no rows, BadSetting for what only labels are trained with, and what
        fitting raises.
        """
        if not rows:
            raise NotEnoughLabels("There are no opinions to train on: the documents hold no preferred answer.")
        _require_possible(self._lora)
        begun = time.monotonic()
        job = PreferenceJob(
            base=self._base,
            start=self._artifacts.path(self._start) if self._start else None,
            lora=self._lora,
            settings=self._settings,
            threads=self._threads,
            rows=tuple(rows),  # type: ignore[arg-type]  # all of them are of the method's kind
            validation=tuple(validation),  # type: ignore[arg-type]
            workdir=workdir.resolve(),
            intent=opinion_intent(rows, (), self.fingerprint),
            general=general_rows(TrainingRow("", rows[0].prompt, "")) if self._lora.forgetting else (),
            method=self._method,
        )
        metrics = self._fitting.fit(job, progress)
        adapter = self._artifacts.put(job.adapter)
        seconds = time.monotonic() - begun
        return TrainedModel(
            ModelRef(kind="lora", base=self._base.name, base_digest=self._base.digest, adapter=adapter),
            {**metrics, "rows": float(len(rows)), "seconds": seconds},
            seconds,
            origin={
                "method": self._method,
                "started_from": self._start,
                "settings": self._settings.model_dump() | {"lora": self._lora.model_dump()},
                "libraries": dict(self._fitting.versions()),
                "code": version(DISTRIBUTION),
                "trainer": self.fingerprint,
                "general_exchanges": general_digest() if job.general else None,
            },
            curves=json.loads((job.workdir / CURVES).read_text()),
        )


def _require_possible(lora: LoraSettings) -> None:
    if lora.quantized != "none" or lora.gradient_checkpointing or lora.processes > 1:
        raise BadSetting(
            "Preferences are learned by one process, and neither on a quantized base nor with gradient checkpointing. "
            "Unset RATCHET_LORA__QUANTIZED, RATCHET_LORA__GRADIENT_CHECKPOINTING and RATCHET_LORA__PROCESSES for this "
            "training."
        )


def require_trl() -> None:
    """Raises BadSetting, naming the extra, when TRL is not installed here."""
    if find_spec("trl") is None:
        raise BadSetting(
            "Training on preferences wants TRL, which is not installed: pip install 'ratchet[preferences]'."
        )


class _Here:
    """Fitting in this process, which then holds torch."""

    def versions(self) -> Mapping[str, str]:
        require_trl()
        return {name: version(name) for name in LIBRARIES_OF_PREFERENCES}

    def fit(self, job: PreferenceJob, progress: Progress | None = None) -> dict[str, float]:
        from infra.adapters.preference_fitting import fit_preferences

        return fit_preferences(job, progress)
