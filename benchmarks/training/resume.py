"""Trainings killed with SIGKILL at random times and run again: is the adapter the same to the bit?

    .venv/bin/python benchmarks/training/resume.py --kills 5 --seed 0
    .venv/bin/python benchmarks/training/resume.py --model smollm2-135m-instruct

Each training is a process of its own, killed at a random moment after a random step, which may be in the middle of a
checkpoint, and resumed here. Its adapter's digest is compared with that of a training nobody disturbed.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "fakes"))

from killed_training import SETTINGS, rows
from tiny_llama import tiny_llama

from infra.adapters.base_models import find_base_model
from infra.adapters.folder_artifacts import FolderArtifacts
from infra.adapters.lora_trainer import LoraTrainer
from infra.offline import silence_telemetry
from tasks.core.ports import Progress

CHOSEN = SETTINGS.model_copy(update={"epochs": 8, "rank": 16})  # 40 steps, a checkpoint every two


def train(model: str, folder: Path, workdir: Path, progress: Progress | None = None) -> str:
    trainer = LoraTrainer(find_base_model(model, folder / "home"), FolderArtifacts(folder / "store"), CHOSEN, threads=1)
    return str(trainer.train(rows(), [], workdir, progress).model.adapter)


def killed(model: str, folder: Path, workdir: Path, after_step: int, and_seconds: float) -> int:
    """Ends a training so long after a step; returns the last step it had reported."""
    command = [sys.executable, __file__, "--child", model, str(folder), str(workdir)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert child.stdout is not None
    reported = 0
    while reported < after_step:
        reported = int(child.stdout.readline())
    time.sleep(and_seconds)
    child.kill()
    last = [int(line) for line in child.stdout.read().split()]
    assert child.wait() < 0, "it had ended before it was killed"
    return max([reported, *last])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", help="default: a random llama of two layers")
    parser.add_argument("--child", nargs=3, metavar=("MODEL", "FOLDER", "WORKDIR"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    silence_telemetry()
    if asked.child:
        model, folder, workdir = asked.child
        train(model, Path(folder), Path(workdir), lambda _, done, __: print(done, flush=True) if done else None)
        return 0
    draw = random.Random(asked.seed)
    results = []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        model = asked.model or str(tiny_llama(folder / "tiny"))
        steps: list[float] = []
        whole = train(model, folder, folder / "whole", lambda _, done, __: steps.append(time.monotonic()))
        lasted = steps[-1] - steps[1]
        for number in range(asked.kills):
            workdir, step = folder / f"killed-{number}", draw.randrange(1, len(steps) - 1)
            reached = killed(model, folder, workdir, step, draw.uniform(0, lasted / len(steps)))
            kept = sorted(int(one.name.removeprefix("checkpoint-")) for one in workdir.glob("checkpoint-*"))
            same = train(model, folder, workdir) == whole
            results.append({"killed_after_step": reached, "checkpoints": kept, "identical": same})
            print(json.dumps(results[-1]), flush=True)
    identical = sum(bool(result["identical"]) for result in results)
    print(f"{identical} of {len(results)} bit-identical; {len(steps) - 1} steps in {lasted:.1f} s undisturbed")
    return 0 if identical == len(results) else 1


if __name__ == "__main__":
    sys.exit(main())
