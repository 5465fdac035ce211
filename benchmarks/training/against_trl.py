"""Labels and tokens a second: Ratchet's trainer beside bare PyTorch loops and TRL's SFTTrainer, on the demo's labels.

    .venv/bin/python benchmarks/training/against_trl.py
    .venv/bin/python benchmarks/training/against_trl.py --packs 24 --rounds 5
    .venv/bin/python benchmarks/training/against_trl.py --rows FILE    # of `ratchet labels export --model MODEL FILE`

The same model (SmolLM2-135M-Instruct in float32), rows, rank, learning rate, optimizer and threads; as many optimizer
steps, of the same labels each on average. They take turns in one process, each from the base model on. Seconds are from
the start of the first step to the end of the last: no import, loading or tokenizing. A ratio is of one round; that of
processor seconds, all threads together, stays the same when others are using the machine.

    labels/s   rows learned from a second: what a person waits for
    tokens/s   positions computed a second, padding apart. Rows that share passages share their reading when packed, so
               a packing trainer computes fewer: compare it between trainers that read the same packs only
    padding    computed positions that hold no token, of all
    steps      of the optimizer; supervised: tokens that carry loss (TRL's rows end with the line break after the turn too)

    ratchet        `LoraTrainer`: contexts without gradient, adapter after them; packs
    bare packed    forward, backward, clip, step on the same packs and nothing else
    bare padded    the same four lines as most people write them: whole rows, padded to the longest of a batch
    trl padded     SFTTrainer as it comes, but in float32 and without gradient checkpointing, which would slow it down
    trl packed     SFTTrainer with packing="bfd", which fills sequences with whole rows

The first run puts TRL's own packages under `benchmarks/.envs`; torch, transformers and PEFT are those of Ratchet.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "documents"))
sys.path.insert(0, str(Path(__file__).parents[2]))

from environments import packages_of

from flows.demo.handbook_folder import LABELS, SHIPPED
from flows.demo.run import use_a_private_prefect
from flows.reingest_docs import ReingestRequest, reingest
from infra.adapters.base_models import PACKAGED, BaseModel, find_base_model, load_base_model
from infra.adapters.lora_packing import RowEncoder, pack
from infra.offline import silence_telemetry
from infra.settings import load_settings
from infra.workbench import open_workbench
from tasks import candidates, training
from tasks.core.candidates import reference
from tasks.core.ports import Message, TrainingRow
from tasks.labels import import_labels

PINS = Path(__file__).parent / "peers" / "trl.txt"
WAYS = ("ratchet", "bare packed", "bare padded", "trl padded", "trl packed")


def demo_rows(home: Path) -> tuple[TrainingRow, ...]:
    """What `ratchet demo` trains on: its handbook ingested, its labels imported, rendered as served."""
    settings = load_settings(home=home)
    use_a_private_prefect(settings)
    bench = open_workbench("demo", settings)
    try:
        asyncio.run(reingest(bench, ReingestRequest(assistant="demo", path=str(SHIPPED))))
        import_labels(bench.labels, LABELS)
        start = candidates.starting_point(bench.candidates)
        labels, prompt = training.freeze_labels(bench.training), training.tuned_prompt(start.prompt)
        snapshot = reference(candidates.newest_snapshot(bench.candidates))
        return training.render_rows(bench.training, labels, snapshot, prompt, start.retrieval).train
    finally:
        bench.close()


def of_some_packs(rows: tuple[TrainingRow, ...], base: BaseModel, count: int) -> list[TrainingRow]:
    """The rows of the first packs, whole packs only."""
    encoder = RowEncoder(load_base_model(base).tokenizer)
    chosen = {one.context for one in pack(rows, encoder)[:count]}
    return [row for row in rows if encoder.encode(row)[0] in chosen]


def read(file: Path) -> tuple[TrainingRow, ...]:
    """The training rows of an exported dataset."""
    known = [json.loads(one) for one in file.read_text().splitlines()]
    said = [(x["label"], [Message(**one) for one in x["messages"]]) for x in known if x["split"] == "train"]
    return tuple(TrainingRow(label, tuple(messages[:-1]), messages[-1].content) for label, messages in said)


def line(way: str, rounds: list[dict[str, dict[str, float]]]) -> str:
    """Medians, and the ratios to Ratchet within each round."""
    mine = [one[way] for one in rounds]
    by_clock, by_processor = (
        sorted(one[way][what] / one["ratchet"][what] for one in rounds) for what in ("seconds", "cpu_seconds")
    )
    result: dict[str, Any] = {
        "labels_per_second": round(median(one["labels"] / one["seconds"] for one in mine), 2),
        "tokens_per_second": round(median(one["tokens"] / one["seconds"] for one in mine)),
        "cpu_seconds_per_label": round(median(one["cpu_seconds"] / one["labels"] for one in mine), 2),
        "tokens_per_label": round(mine[0]["tokens"] / mine[0]["labels"]),
        "padding_percent": round(100 * (1 - mine[0]["tokens"] / mine[0]["positions"]), 1),
        "steps": mine[0]["steps"],
        "supervised": mine[0]["supervised"],
        "ratchet_is_times_as_fast": round(median(by_clock), 2),
        "from_to": [round(by_clock[0], 2), round(by_clock[-1], 2)],
        "times_by_cpu_seconds": round(median(by_processor), 2),
    }
    return f"{way:<12} {json.dumps(result)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=PACKAGED)
    parser.add_argument("--home", type=Path, default=Path(".ratchet"), help="where a packaged model is unpacked")
    parser.add_argument("--packs", type=int, default=12, help="of the demo's: contexts, each with all its questions")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--batch", type=int, default=2, help="rows, or packed sequences, of one backward pass elsewhere"
    )
    parser.add_argument("--rows", type=Path, help="default: the demo's, made anew")
    parser.add_argument("--ways", default=",".join(WAYS))
    asked = parser.parse_args()
    silence_telemetry()
    sys.path.append(str(packages_of(PINS)))
    from ways_to_train import train  # not before: transformers reads at its import how much it may say

    base = find_base_model(asked.model, asked.home)
    rounds: list[dict[str, dict[str, float]]] = []
    ways = asked.ways.split(",")
    with tempfile.TemporaryDirectory() as made:
        rows = of_some_packs(read(asked.rows) if asked.rows else demo_rows(Path(made)), base, asked.packs)
    for number in range(asked.rounds):
        rounds.append({})
        for way in ways if number % 2 == 0 else ways[::-1]:
            told = rounds[-1][way] = train(way, rows, base, asked.threads, asked.batch)
            print(way, json.dumps({name: round(value, 1) for name, value in told.items()}), flush=True)
    print("\n".join(line(way, rounds) for way in ways))
    return 0


if __name__ == "__main__":
    sys.exit(main())
