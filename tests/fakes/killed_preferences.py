"""Teaches the tiny model preferences until SIGKILL: `python killed_preferences.py BASE HOME STORE WORKDIR STEPS`.

Run by `test_preference_trainer.py` as a process of its own. STEPS: optimizer steps after which it kills itself.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from killed_training import PROMPT

from infra.adapters.base_models import BaseModel, find_base_model
from infra.adapters.folder_artifacts import FolderArtifacts
from infra.adapters.lora_settings import LoraSettings
from infra.adapters.preference_settings import PreferenceSettings
from infra.adapters.preference_trainer import PreferenceTrainer
from tasks.core.answers import Passage
from tasks.core.preference_rows import PreferenceRow
from tasks.core.prompts import render
from tasks.core.rating_rows import RatingRow
from tasks.core.taught_rows import OpinionMethod

LORA = LoraSettings(rank=4, alpha=8)
SETTINGS = PreferenceSettings(epochs=4, pairs_per_step=2, learning_rate=1e-3, checkpoint_steps=2)
PAIRS, STEPS = 6, 12  # 4 × 6 / 2


def pairs(count: int = PAIRS) -> list[PreferenceRow]:
    """One answer to the point and one that chats, about as many pages."""
    made = []
    for n in range(count):
        shown = [Passage(1, f"{n}.md", f"c-{n}", f"Pump {n}\nPump {n} runs at {n} bar.", 0.0, 0.0)]
        prompt = render(PROMPT, shown, f"How fast is pump {n}?")
        made.append(PreferenceRow(f"p-{n}", prompt, f"Pump {n}: {n} bar. [1]", f"Well, I guess it is {n}! [1]"))
    return made


def ratings() -> list[RatingRow]:
    """The same answers, each by itself: more bad ones than good ones."""
    made = [RatingRow(f"{row.label_id}-no", row.prompt, row.rejected, good=False) for row in pairs()]
    return made + [RatingRow(f"{row.label_id}-yes", row.prompt, row.chosen, good=True) for row in pairs(4)]


def preferring(
    base: BaseModel,
    store: Path,
    start: str | None = None,
    settings: PreferenceSettings = SETTINGS,
    lora: LoraSettings = LORA,
    method: OpinionMethod = "dpo",
) -> PreferenceTrainer:
    return PreferenceTrainer(base, FolderArtifacts(store), start, settings, lora, method=method, threads=1)


def main(base: str, home: str, store: str, workdir: str, steps: str) -> None:
    def kill_at(what: str, done: int, total: int) -> None:
        if done == int(steps):
            os.kill(os.getpid(), signal.SIGKILL)

    preferring(find_base_model(base, Path(home)), Path(store)).prefer(pairs(), [], Path(workdir), kill_at)


if __name__ == "__main__":
    main(*sys.argv[1:])
