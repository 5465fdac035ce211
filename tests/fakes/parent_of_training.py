"""Trains the tiny model in a child process: `python parent_of_training.py BASE HOME STORE WORKDIR WHEN PROCESSES`.

Run by `test_training_process.py` as a process of its own. WHEN: the optimizer step after which it kills itself, and
not the child; or `forgetting`: when the child measures that; or `never`. PROCESSES: of the training. Prints the
adapter, and whether this process has imported torch.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from killed_training import SETTINGS, rows

from infra.adapters.base_models import find_base_model
from infra.adapters.folder_artifacts import FolderArtifacts
from infra.adapters.lora_trainer import LoraTrainer
from infra.adapters.training_messages import Job
from infra.adapters.training_process import ChildFitting
from tasks.core.ports import Progress


class LongForgetting(ChildFitting):
    """Has the child measure a hundred times as much: the tiny model would be through before anybody can stop it."""

    def fit(self, job: Job, progress: Progress | None = None) -> dict[str, float]:
        return super().fit(replace(job, general=job.general * 100), progress)


def main(base: str, home: str, store: str, workdir: str, when: str, processes: str) -> None:
    def kill_at(what: str, done: int, total: int) -> None:
        if what == when or ("loss" in what and str(done) == when):
            os.kill(os.getpid(), signal.SIGKILL)

    trainer = LoraTrainer(
        find_base_model(base, Path(home)),
        FolderArtifacts(Path(store)),
        SETTINGS.model_copy(update={"processes": int(processes)}),
        threads=1,
        fitting=LongForgetting() if when == "forgetting" else ChildFitting(),
    )
    made = trainer.train(rows(), [], Path(workdir), kill_at)
    print(json.dumps({"adapter": made.model.adapter, "torch": "torch" in sys.modules}))


if __name__ == "__main__":
    main(*sys.argv[1:])
