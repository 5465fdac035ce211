"""Faults seeded into a real release, judged by the real pipeline: each must be refused, and by a gate that names it.

    .venv/bin/python benchmarks/gates/faults.py HOME [--assistant demo] [--only "slow,stale index"] [--json FILE]

HOME: where `ratchet demo` kept its state (.ratchet); it is copied first and never touched. The candidate is the release
the demo promoted last (new documents), the baseline the one before. Without a fault it has to be promoted again. Then
each fault is put where it would happen: into the model's text, the index, the adapter's file, the training record.
Exit status 1 when one is promoted, or refused for another reason, or the release without a fault is not promoted.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from infra.own_policy import with_own_policy
from infra.settings import load_settings
from infra.workbench import Workbench, open_workbench
from tasks.answering import AnsweringBench, answer, answer_one
from tasks.completing import completion_key
from tasks.core.answers import Answer, Citation
from tasks.core.labels import golden_set
from tasks.core.ports import Completion, Message
from tasks.core.releases import ModelRef, ReleaseManifest
from tasks.evaluation import Evaluation, EvaluationBench, evaluate
from tasks.rehearsal import RehearsalBench, rehearse

Reword = Callable[[str], str]


@dataclass(frozen=True)
class Seeded:
    """A fault and the gates of which at least one must not pass."""

    gates: tuple[str, ...]
    put: Callable[[World], EvaluationBench]
    candidate: Callable[[World], ReleaseManifest] = lambda world: world.candidate


class World:
    """A copy of the demo's home, its last two releases, and the bench that judges them."""

    def __init__(self, home: Path, assistant: str) -> None:
        self.bench: Workbench = open_workbench(assistant, with_own_policy(load_settings(home=home), assistant))
        history = self.bench.releases.history(assistant)
        newest = history[-1]
        assert newest.previous is not None, "run the whole demo first"
        self.candidate = self.bench.releases.release(assistant, newest.release).manifest
        self.baseline = self.bench.releases.release(assistant, newest.previous).manifest
        self.plain = self.bench.evaluation

    def answering(self, chat: Any = None, index: Any = None) -> AnsweringBench:
        """Answering with a fault in the model or the index; nothing it says is kept."""
        real = self.bench.answering
        retrieval = replace(real.retrieval, index=index) if index else real.retrieval
        return replace(
            real, retrieval=retrieval, chat=chat or real.chat, completions=None if chat else real.completions
        )

    def judged_by(
        self, faulty: AnsweringBench, faulty_id: str, instead: Callable[[Answer], Answer] = lambda said: said
    ) -> EvaluationBench:
        """The bench on which one release answers with the fault, in the batch and alone, and the other without.

        instead: what comes out in place of an answer of that release.
        """

        def ask(questions: Sequence[str], manifest: ReleaseManifest, *, progress: Any = None) -> list[Answer]:
            if manifest.id != faulty_id:
                return answer(questions, manifest, self.bench.answering, progress)
            return list(map(instead, answer(questions, manifest, faulty, progress)))

        rehearsing = self.rehearsing(faulty, faulty_id, instead)
        return replace(self.plain, ask=ask, rehearse=rehearsing, check=lambda manifest: None)

    def rehearsing(self, faulty: AnsweringBench, faulty_id: str, instead: Callable[[Answer], Answer]) -> Any:
        """`tasks.rehearsal` with the fault in one of the releases."""

        def alone(question: str, manifest: ReleaseManifest) -> Answer:
            if manifest.id != faulty_id:
                return answer_one(question, manifest, replace(self.bench.answering, completions=None))
            return instead(answer_one(question, manifest, replace(faulty, completions=None)))

        return partial(rehearse, RehearsalBench(alone, time.perf_counter))


# ── faults in the model ──────────────────────────────────────────────────────────────────────────────────────────────


class FaultyChat:
    """ChatModels whose models say something else than they would; the real text comes from the cache where it is."""

    def __init__(self, world: World, reword: Reword, *, slower: float = 1.0, base: bool = False) -> None:
        self._world, self._reword, self._slower, self._base = world, reword, slower, base

    def base(self) -> ModelRef:
        return self._world.bench.chat.base()

    def open(self, model: ModelRef) -> FaultyModel:
        asked = self.base() if self._base else model
        return FaultyModel(self._world, self._world.bench.chat.open(asked), self._reword, self._slower)


class FaultyModel:
    """ChatModel with a fault."""

    def __init__(self, world: World, real: Any, reword: Reword, slower: float) -> None:
        self._cache = world.bench.answering.completions
        self._real, self._reword, self._slower = real, reword, slower

    @property
    def fingerprint(self) -> str:
        return f"faulty {self._real.fingerprint}"

    def count_tokens(self, prompt: Sequence[Message]) -> int:
        return int(self._real.count_tokens(prompt))

    def stream(self, prompt: Sequence[Message], *, max_new_tokens: int) -> Iterator[str]:
        yield self.complete([prompt], max_new_tokens=max_new_tokens)[0].text

    def complete(self, prompts: Sequence[Any], *, max_new_tokens: int, progress: Any = None) -> list[Completion]:
        begun = time.perf_counter()
        keys = [completion_key(self._real.fingerprint, prompt, max_new_tokens) for prompt in prompts]
        known = dict(self._cache.get_many(keys)) if self._cache and len(prompts) > 1 else {}
        missing = [at for at, key in enumerate(keys) if key not in known]
        written = self._real.complete([prompts[at] for at in missing], max_new_tokens=max_new_tokens)
        found = {**known, **{keys[at]: one for at, one in zip(missing, written, strict=True)}}
        if self._cache:
            self._cache.put_many({key: found[key] for key in keys})
        time.sleep((time.perf_counter() - begun) * (self._slower - 1))
        return [replace(found[key], text=self._reword(found[key].text)) for key in keys]


def says(reword: Reword, **how: Any) -> Callable[[World], EvaluationBench]:
    return lambda world: world.judged_by(world.answering(chat=FaultyChat(world, reword, **how)), world.candidate.id)


def swapped(text: str) -> str:
    return re.sub(r"\[([12])\]", lambda found: "[2]" if found[1] == "1" else "[1]", text)


def dropped(text: str) -> str:
    return re.sub(r"\s*\[\d\]", "", text)


def negated(text: str) -> str:
    verbs = r"\b(is|are|has|have|must|may|can|needs|takes|holds|runs|weighs|opens|closes|costs|lasts|goes|uses)\b"
    return re.sub(verbs, r"\1 not", text, count=1)


def changed_number(text: str) -> str:
    return re.sub(r"(?<![\[\d])\d+", lambda found: str(int(found[0]) + 1), text, count=1)


def truncated(text: str) -> str:
    return text[: len(text) // 2]


def never_abstaining(said: Answer) -> Answer:
    """Whoever declined, the model, the confidence or the missing support: something is said, and cited."""
    if not said.abstained or not said.contexts:
        return said
    first = said.contexts[0]
    quote = Citation(first.marker, first.document, first.chunk, first.text.split(".")[0], first.score)
    text = f"It is the one in the first passage. [{first.marker}]"
    return replace(said, text=text, abstained=False, abstained_because=None, citations=(quote,))


# ── faults in the index, the files and the record ────────────────────────────────────────────────────────────────────


class StaleIndex:
    """VectorIndex that answers every snapshot as the one before it."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def search(self, collection: str, snapshot: int, *rest: Any, **more: Any) -> Any:
        return self._real.search(collection, max(1, snapshot - 1), *rest, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class WrongDocumentIndex(StaleIndex):
    """VectorIndex that finds for each question what the one before it asked for."""

    def __init__(self, real: Any) -> None:
        super().__init__(real)
        self._before: tuple[tuple[Any, ...], dict[str, Any]] | None = None

    def search(self, *given: Any, **more: Any) -> Any:
        asked, self._before = self._before or (given, more), (given, more)
        return self._real.search(*asked[0], **asked[1])


def nan_adapter(world: World) -> ReleaseManifest:
    """The candidate with an adapter whose weights hold NaN, kept under the digest of what it holds."""
    import torch
    from safetensors.torch import load_file, save_file

    digest = world.candidate.model.adapter
    assert digest is not None
    with tempfile.TemporaryDirectory() as folder:
        broken = Path(folder) / "adapter"
        shutil.copytree(world.bench.artifacts.path(digest), broken)
        (broken / "files.json").unlink(missing_ok=True)
        weights = load_file(broken / "adapter_model.safetensors")
        first = sorted(weights)[0]
        weights[first] = torch.full_like(weights[first], float("nan"))
        save_file(weights, broken / "adapter_model.safetensors", metadata={"format": "pt"})
        put = world.bench.artifacts.put(broken)
    model = world.candidate.model.model_copy(update={"adapter": put})
    return world.candidate.model_copy(update={"model": model})


class LeakyTraining:
    """A training record that says the model learnt from a golden label."""

    def __init__(self, world: World) -> None:
        golden = golden_set(world.bench.label_catalog.labels(world.bench.assistant))
        assert golden is not None
        self._ids = frozenset(golden.label_ids[:1])

    def trained_on(self, assistant: str, model: ModelRef) -> frozenset[str]:
        return self._ids


def unchanged(text: str) -> str:
    return text


FAULTS = {
    "stale index": Seeded(
        ("fresh",),
        lambda world: world.judged_by(world.answering(index=StaleIndex(world.bench.index)), world.candidate.id),
    ),
    "wrong document": Seeded(
        ("floor-recall", "no-harm-recall"),
        lambda world: world.judged_by(world.answering(index=WrongDocumentIndex(world.bench.index)), world.candidate.id),
    ),
    "swapped citation ids": Seeded(("no-harm-citation",), says(swapped)),
    "dropped citations": Seeded(("no-harm-citation",), says(dropped)),
    "negated claim": Seeded(("no-harm-faithfulness",), says(negated)),
    "changed number": Seeded(("no-harm-correct", "no-harm-answers"), says(changed_number)),
    "truncated answer": Seeded(("no-harm-correct", "floor-correct"), says(truncated)),
    "never abstains": Seeded(
        ("no-harm-abstains", "slice-unanswerable"),
        lambda world: world.judged_by(world.bench.answering, world.candidate.id, never_abstaining),
    ),
    "always abstains": Seeded(
        ("no-harm-answers", "floor-correct"), lambda world: says(lambda _: world.candidate.prompt.abstention)(world)
    ),
    "slow": Seeded(("pace",), says(unchanged, slower=5.0)),
    "base instead of adapter": Seeded(("no-harm-style", "floor-style", "no-harm-citation"), says(unchanged, base=True)),
    "NaN adapter": Seeded(("intact",), lambda world: world.plain, nan_adapter),
    "golden label trained on": Seeded(
        ("no-leak",), lambda world: replace(world.plain, training=LeakyTraining(world), rehearse=None)
    ),
}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("home", type=Path)
    asked.add_argument("--assistant", default="demo")
    asked.add_argument("--only", default="", help="Names of faults, separated by commas")
    asked.add_argument("--json", type=Path, help="Where to write the rows too")
    given = asked.parse_args()
    only = {name.strip() for name in given.only.split(",") if name.strip()}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(shutil.copytree(given.home, Path(folder) / "home"))
        world = World(home, given.assistant)
        rows = [row("no fault", evaluate(world.plain, world.candidate, world.baseline), ())]
        for name, fault in FAULTS.items():
            if not only or name in only:
                made = evaluate(fault.put(world), fault.candidate(world), world.baseline)
                rows.append(row(name, made, fault.gates))
    refused = sum(one["refused by name"] for one in rows[1:])
    print(f"{refused} of {len(rows) - 1} faults refused by the gate that names them; no fault: {rows[0]['verdict']}")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")
    sys.exit(rows[0]["verdict"] != "PROMOTE" or refused < len(rows) - 1)


def row(name: str, made: Evaluation, gates: Sequence[str]) -> dict[str, Any]:
    stopped = {gate.name: gate for gate in made.gates if gate.outcome in ("fail", "undecided")}
    named = [gate for gate in gates if gate in stopped]
    found = {
        "fault": name,
        "verdict": made.verdict,
        "refused by name": made.verdict != "PROMOTE" and bool(named),
        "why": stopped[named[0]].reason if named else "; ".join(gate.reason for gate in stopped.values()),
        "gates that did not pass": sorted(stopped),
    }
    print(f"{name:<24} {made.verdict:<8} {', '.join(sorted(stopped))}\n{'':<24} {found['why']}", flush=True)
    return found


if __name__ == "__main__":
    main()
