"""Trains the tiny model until SIGKILL: `python killed_training.py BASE HOME STORE WORKDIR STEPS`.

Run by `test_lora_trainer.py` as a process of its own. STEPS: optimizer steps after which it kills itself; 0: never.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from infra.adapters.base_models import BaseModel, find_base_model
from infra.adapters.folder_artifacts import FolderArtifacts
from infra.adapters.lora_settings import LoraSettings
from infra.adapters.lora_trainer import LoraTrainer
from tasks.core.answers import Passage
from tasks.core.ports import TrainingRow
from tasks.core.prompts import default_prompt, render, with_examples

SETTINGS = LoraSettings(rank=4, alpha=8, epochs=2, packs_per_step=2, checkpoint_steps=2)  # 2 × ceil(9 / 2) = 10 steps
PROMPT = with_examples(default_prompt(), ())


def rows(pages: int = 9) -> list[TrainingRow]:
    """Two rows on each page: one that its passage answers, one that it does not."""
    made = []
    for n in range(pages):
        shown = [Passage(1, f"{n}.md", f"c-{n}", f"Pump {n}\nPump {n} runs at {n} bar.", 0.0, 0.0)]
        made.append(TrainingRow(f"p-{n}", render(PROMPT, shown, f"How fast is pump {n}?"), f"Pump {n}: {n} bar. [1]"))
        made.append(TrainingRow(f"c-{n}", render(PROMPT, shown, f"What colour is pump {n}?"), PROMPT.abstention))
    return made


def trainer(base: BaseModel, store: Path, settings: LoraSettings = SETTINGS) -> LoraTrainer:
    return LoraTrainer(base, FolderArtifacts(store), settings, threads=1)


def main(base: str, home: str, store: str, workdir: str, steps: str) -> None:
    def kill_at(what: str, done: int, total: int) -> None:
        if done == int(steps) != 0:
            os.kill(os.getpid(), signal.SIGKILL)

    trainer(find_base_model(base, Path(home)), Path(store)).train(rows(), [], Path(workdir), kill_at)


if __name__ == "__main__":
    main(*sys.argv[1:])
