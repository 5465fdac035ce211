"""What each answering pattern gives on the demo's golden questions, and what it costs.

    .venv/bin/python benchmarks/gates/patterns.py HOME [--assistant demo] [--questions 128]

HOME: where `ratchet demo` kept its state (.ratchet). The release that it serves answers its golden questions by
each pattern, in this process, one pattern after the other and with no completion remembered; scores are those of the
gates, in percent. Last, what the adapter and its base cost where each reads the passages by itself: `parallel` reads
them once for both, and says the same.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

from infra.settings import load_settings
from infra.workbench import Workbench, open_workbench
from tasks.answering import answer
from tasks.core.answers import Answer
from tasks.core.labels import Label, golden_set
from tasks.core.metrics.question import Marking
from tasks.core.metrics.score import Metric, Undefined
from tasks.core.ports import ChatModel, Completion, Message, Progress
from tasks.core.releases import ModelRef, Pattern, ReleaseManifest
from tasks.core.scoring import mark

MEASURES: tuple[Metric, ...] = ("all_right", "correct", "citation", "style", "abstains", "answers")


class Apart:
    """A model of which nobody knows that its base could answer along."""

    def __init__(self, model: ChatModel) -> None:
        self._model = model
        self.fingerprint = model.fingerprint
        self.stream, self.count_tokens = model.stream, model.count_tokens

    def complete(
        self, prompts: Sequence[Sequence[Message]], *, max_new_tokens: int, progress: Progress | None = None
    ) -> list[Completion]:
        return self._model.complete(prompts, max_new_tokens=max_new_tokens, progress=progress)


class AllApart:
    """ChatModels that opens such models."""

    def __init__(self, bench: Workbench) -> None:
        self.base, self._open = bench.chat.base, bench.chat.open

    def open(self, model: ModelRef) -> ChatModel:
        return Apart(self._open(model))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path)
    parser.add_argument("--assistant", default="demo")
    parser.add_argument("--questions", type=int, default=128)
    asked = parser.parse_args()
    bench = open_workbench(asked.assistant, load_settings(home=asked.home))
    release = served(bench)
    labels = golden(bench)[: asked.questions]
    answering = replace(bench.answering, completions=None)
    answer([labels[0].question], release, answering)  # loads model and embedder
    print(
        f"{release.id}, {len(labels)} questions; {'':<8}" + "".join(f"{name:>11}" for name in MEASURES) + "  cpu s each"
    )
    said: dict[str, list[Answer]] = {}
    for pattern in get_args(Pattern):
        tuned = release.model_copy(update={"pattern": pattern})
        by = on_base(bench, release) if pattern == "rag" else tuned
        said[pattern] = told(pattern, by, labels, lambda by=by: answer(questions(labels), by, answering))
    by = release.model_copy(update={"pattern": "parallel"})
    apart = replace(answering, chat=AllApart(bench))
    again = told("parallel, each by itself", by, labels, lambda: answer(questions(labels), by, apart))
    same = sum(one == other for one, other in zip(said["parallel"], again, strict=True))
    print(f"the same answers where each reads by itself: {same} of {len(labels)}")


def told(name: str, by: ReleaseManifest, labels: Sequence[Label], ask: Callable[[], list[Answer]]) -> list[Answer]:
    begun = time.process_time()
    answers = ask()
    each = (time.process_time() - begun) / len(labels)
    sheet = mark(by.id, labels, answers, Marking(by.prompt.abstention, by.retrieval.k))
    shares = []
    for metric in MEASURES:
        values = [value for one in sheet.questions if not isinstance(value := one.scores[metric], Undefined)]
        shares.append(f"{100 * sum(values) / len(values):11.1f}" if values else f"{'':>11}")
    print(f"{name:<38}" + "".join(shares) + f"{each:11.2f}", flush=True)
    return answers


def served(bench: Workbench) -> ReleaseManifest:
    """The release being served. Ends the process where that is none of an adapter."""
    current = bench.releases.standing(bench.assistant).release
    manifest = bench.releases.release(bench.assistant, current).manifest if current else None
    if manifest is None or manifest.model.kind != "lora":
        sys.exit("No adapter is served there. Run `ratchet demo` first, to its end.")
    return manifest


def on_base(bench: Workbench, release: ReleaseManifest) -> ReleaseManifest:
    """The same documents and passages, answered by the base with its examples."""
    plain = next(row.manifest for row in bench.releases.releases(bench.assistant) if row.manifest.model.kind == "base")
    return plain.model_copy(update={"snapshot": release.snapshot})


def golden(bench: Workbench) -> list[Label]:
    known = bench.label_catalog.labels(bench.assistant)
    reserved = golden_set(known)
    assert reserved is not None
    return [label for label in known if label.id in reserved.label_ids]


def questions(labels: Sequence[Label]) -> list[str]:
    return [label.question for label in labels]


if __name__ == "__main__":
    main()
