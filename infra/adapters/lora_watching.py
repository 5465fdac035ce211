"""What watches a training: the end that somebody asked for, a loss gone wrong, and the validation loss.

Imports torch and transformers: import it inside functions.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from peft import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback

from infra.adapters.lora_loop import mean_loss
from infra.adapters.lora_packing import Pack
from infra.adapters.training_ranks import ALONE, Ranks
from tasks.core.errors import LossDiverged, TrainingInterrupted
from tasks.core.loss_watch import diverged
from tasks.core.ports import Progress
from tasks.documents import stopping

BEST = "best.safetensors"
LOOKS = "validation.json"


class EndWhenAsked(TrainerCallback):  # type: ignore[misc]
    """Writes a checkpoint after the step at which somebody asked for the end, and ends there."""

    def __init__(self, stop: threading.Event | None, ranks: Ranks = ALONE) -> None:
        self._stop = stop or threading.Event()
        self._ranks = ranks
        self.ended = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Nor does the first step begin when the end was asked for while the model was loaded."""
        if self._ranks.any(self._stop.is_set()):
            raise _interrupted(f"before step {state.global_step + 1} of {state.max_steps}")

    def on_prediction_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Nor does TRL go on measuring after the last step."""
        if self._stop.is_set():
            raise _interrupted("while it was measured")

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Not after the last step: then there is nothing left to end."""
        asked = self._ranks.any(self._stop.is_set())  # by all after the same step, whichever of them was asked
        if asked and state.global_step < state.max_steps:
            self.ended = control.should_save = control.should_training_stop = True

    def require_whole(self, state: Any) -> None:
        """Raises TrainingInterrupted when the training was ended, which its checkpoint outlives."""
        if self.ended:
            raise TrainingInterrupted(
                f"Training was ended at step {state.global_step} of {state.max_steps}, with a checkpoint. "
                "Run it again: it goes on from there.",
                step=state.global_step,
            )


class LossWatch(TrainerCallback):  # type: ignore[misc]
    """Raises LossDiverged before a checkpoint of that step is written."""

    def __init__(self, max_growth: float, rate: str = "RATCHET_LORA__LEARNING_RATE") -> None:
        """rate: the setting that helps."""
        self._max_growth = max_growth
        self._rate = rate

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """One look per step."""
        if not logs or "loss" not in logs:
            return
        why = diverged(training_curve(state), self._max_growth)
        if why:
            raise LossDiverged(
                f"Training ended: {why}. Nothing was registered and no label was consumed. A lower learning rate "
                f"usually helps: {self._rate}.",
                step=state.global_step,
            )


class ValidationWatch(TrainerCallback):  # type: ignore[misc]
    """Keeps the adapter of the lowest validation loss, and ends a training that finds no lower one.

    workdir/best.safetensors is that adapter, workdir/validation.json every look so far. Of a training that goes on from
    an earlier step, the looks after that step are taken again and give the same.
    """

    def __init__(
        self,
        model: Any,
        packs: Sequence[Pack],
        workdir: Path,
        *,
        every: int,
        patience: int,
        ranks: Ranks = ALONE,
    ) -> None:
        self._model, self._packs, self._folder = model, packs, workdir
        self._every, self._patience, self._ranks = every, patience, ranks
        self.looks: list[tuple[int, float]] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Looks before the step that training goes on from are kept."""
        kept = self._folder / LOOKS
        known = json.loads(kept.read_text()) if state.global_step and kept.exists() else []
        self.looks = [(step, loss) for step, loss in known if step <= state.global_step]

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """A look every so many steps."""
        if state.global_step % self._every:
            return
        loss = self._ranks.of_first(mean_loss(self._model, self._packs) if self._ranks.first else 0.0)
        best_yet = loss < min((known for _, known in self.looks), default=float("inf"))
        self.looks.append((state.global_step, loss))
        if self._ranks.first:
            self._keep(adapter=best_yet)
        best = min(range(len(self.looks)), key=lambda at: self.looks[at][1])
        if len(self.looks) - 1 - best >= self._patience:
            control.should_training_stop = True

    def _keep(self, *, adapter: bool) -> None:
        if adapter:
            weights = {n: w.detach().cpu().contiguous() for n, w in get_peft_model_state_dict(self._model).items()}
            save_file(weights, self._folder / f"{BEST}.new")
            os.replace(self._folder / f"{BEST}.new", self._folder / BEST)
        (self._folder / f"{LOOKS}.new").write_text(json.dumps(self.looks))
        os.replace(self._folder / f"{LOOKS}.new", self._folder / LOOKS)

    def take_best(self) -> None:
        """Puts the best adapter into the model, where a look was taken."""
        if self.looks:
            set_peft_model_state_dict(self._model, load_file(self._folder / BEST))


def measured(packs: Sequence[Pack], what: str, progress: Progress | None) -> Iterator[Pack]:
    """Each pack of what is measured after the last step; tells how many are done.

    Raises TrainingInterrupted when `stopping` is set: the steps are in a checkpoint, and are measured again from there.
    """
    for done, one in enumerate(packs):
        require_wanted()
        if progress:
            progress(what, done, len(packs))
        yield one
    if progress and packs:
        progress(what, len(packs), len(packs))


def require_wanted() -> None:
    """Raises TrainingInterrupted when `stopping` is set, after the last step."""
    stop = stopping.get()
    if stop is not None and stop.is_set():
        raise _interrupted("after its last step, while it was measured")


def _interrupted(when: str) -> TrainingInterrupted:
    return TrainingInterrupted(
        f"Training was ended {when}. Run it again: it goes on from its last checkpoint.",
    )


def training_curve(state: Any) -> list[float]:
    """Loss per completion token, step by step, those before a checkpoint included."""
    return [entry["loss"] for entry in state.log_history if "loss" in entry]
