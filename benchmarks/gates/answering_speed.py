"""How fast the golden set is answered, beside a bare length-sorted batched `generate` on the same prompts.

    .venv/bin/python benchmarks/gates/answering_speed.py HOME [--assistant demo] [--questions 32] [--rounds 2]

HOME: where `ratchet demo` kept its state (.ratchet). The prompts are those of its releases, one on the base model with
worked examples and one on a tuned model, as evaluation renders them. Both ways write at most as many tokens, stop at
the same end of turn or line, run in this process on the same loaded model and take turns; the best round of each
counts. Then the same questions are asked again through the completion cache, as those of a baseline are.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from infra.settings import load_settings
from infra.workbench import Workbench, open_workbench
from tasks.answering import answer
from tasks.core.labels import golden_set
from tasks.core.ports import Completion, Message
from tasks.core.releases import ReleaseManifest

ROWS = 16  # of a bare batch: the most that the decoder takes too


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("home", type=Path)
    asked.add_argument("--assistant", default="demo")
    asked.add_argument("--questions", type=int, default=32)
    asked.add_argument("--rounds", type=int, default=2)
    given = asked.parse_args()
    bench = open_workbench(given.assistant, load_settings(home=given.home))
    for kind, manifest in releases(bench).items():
        print(json.dumps({"release": manifest.id, "model": kind} | measure(bench, manifest, given)), flush=True)


def releases(bench: Workbench) -> dict[str, ReleaseManifest]:
    """The newest release of each kind of model."""
    return {row.manifest.model.kind: row.manifest for row in reversed(bench.releases.releases(bench.assistant))}


def measure(bench: Workbench, manifest: ReleaseManifest, given: argparse.Namespace) -> dict[str, Any]:
    questions = golden_questions(bench)[: given.questions]
    prompts = prompts_of(bench, manifest, questions)
    model: Any = bench.chat.open(manifest.model)
    limit = manifest.limits.max_new_tokens
    ways: dict[str, Callable[[], list[str]]] = {
        "ratchet": lambda: [one.text for one in model.complete(prompts, max_new_tokens=limit)],
        "bare generate": lambda: bare(model, prompts, limit),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    texts: dict[str, list[str]] = {}
    for _ in range(given.rounds):
        for way, run in ways.items():
            begun = time.perf_counter()
            texts[way] = run()
            seconds[way].append(time.perf_counter() - begun)
    rate = {way: len(prompts) / min(took) for way, took in seconds.items()}
    answer(questions, manifest, bench.answering)
    begun = time.perf_counter()
    answer(questions, manifest, bench.answering)
    return {
        "prompts": len(prompts),
        "questions_per_second": {way: round(value, 2) for way, value in rate.items()},
        "ratio": round(rate["ratchet"] / rate["bare generate"], 2),
        "same_text": sum(a == b for a, b in zip(*texts.values(), strict=True)),
        "cached_seconds": round(time.perf_counter() - begun, 2),
    }


def golden_questions(bench: Workbench) -> list[str]:
    known = bench.label_catalog.labels(bench.assistant)
    golden = golden_set(known)
    members = frozenset(golden.label_ids if golden else ())
    return [label.question for label in sorted(known, key=lambda label: label.id) if label.id in members]


class Prompts:
    """ChatModels that opens no model and keeps the prompts it is asked."""

    def __init__(self, chat: Any) -> None:
        self._chat = chat
        self.kept: list[tuple[Message, ...]] = []

    def open(self, model: Any) -> Prompts:
        return self

    def count_tokens(self, prompt: Sequence[Message]) -> int:
        return int(self._chat.count_tokens(prompt))

    @property
    def fingerprint(self) -> str:
        return "prompts"

    def complete(self, prompts: Sequence[tuple[Message, ...]], **_: Any) -> list[Any]:
        self.kept += prompts
        return [Completion("", 0, 0) for _ in prompts]


def prompts_of(bench: Workbench, manifest: ReleaseManifest, questions: Sequence[str]) -> list[tuple[Message, ...]]:
    """Those that reach the model; where retrieval is too unsure it is not asked."""
    kept = Prompts(bench.chat.open(manifest.model))
    answer(questions, manifest, replace(bench.answering, chat=kept, completions=None))  # type: ignore[arg-type]
    return kept.kept


def bare(model: Any, prompts: Sequence[tuple[Message, ...]], limit: int) -> list[str]:
    """What a person would write: sort by length, pad on the left, `generate`, cut at the line break."""
    engine, network = model._engine, model._network
    ids = [engine.template.ids(prompt) for prompt in prompts]
    order = sorted(range(len(ids)), key=lambda at: -len(ids[at]))
    texts: dict[int, str] = {}
    ends = [*engine.ends, engine.adapted._tokenizer("\n", add_special_tokens=False)["input_ids"][-1]]
    pad = engine.adapted._tokenizer.pad_token_id
    for at in range(0, len(order), ROWS):
        batch = order[at : at + ROWS]
        longest = max(len(ids[one]) for one in batch)
        rows = torch.tensor([[pad] * (longest - len(ids[one])) + ids[one] for one in batch])
        mask = torch.tensor([[0] * (longest - len(ids[one])) + [1] * len(ids[one]) for one in batch])
        with torch.inference_mode(), switched(engine.adapted, network._adapter) as ready:
            out = ready.generate(
                input_ids=rows, attention_mask=mask, max_new_tokens=limit, do_sample=False, eos_token_id=ends
            )
        for row, one in zip(out, batch, strict=True):
            texts[one] = engine.spell(row[longest:].tolist()).strip().split("\n")[0].rstrip()
    return [texts[at] for at in range(len(prompts))]


@contextmanager
def switched(adapted: Any, adapter: str | None) -> Iterator[Any]:
    """The model with this adapter active, or with none."""
    if adapter is not None:
        adapted.attach(adapter)
        adapted._peft.set_adapter(adapter)
        yield adapted._peft
    elif adapted._peft is None:
        yield adapted.bare
    else:
        with adapted._peft.disable_adapter():
            yield adapted._peft


if __name__ == "__main__":
    main()
