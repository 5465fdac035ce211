"""What preferences and ratings teach: the demo's base model before and after DPO, or KTO, on its own mistakes.

    .venv/bin/python benchmarks/training/preferring.py FOLDER [--method kto] [--pairs 60] [--json FILE]

The base answers training questions as served. Where it is not wholly right, people would prefer the label's answer: a
preference of that over what it said, or two ratings, one of each. They are imported as a file of people's preferences,
and learned with the default settings by the functions of `ratchet train`. Then the golden questions, on pages that no
preference is about, are answered as served before and after, and scored as gates score them; the intervals are the
gates' own, clustered by page, 2.5 % on each side.

About a quarter of an hour of two cores for 60 pairs. FOLDER may be that of `learning.py`, whose answers of the base are
then used. Exit status 1 when no measure is found better, or one is found worse.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from learning import ASSISTANT, compared, opened, seeded, sheet
from learning_table import Learnt, rows, said

from flows.demo.run import use_a_private_prefect
from infra.offline import silence_telemetry
from infra.showing import showing, shown_progress
from infra.workbench import Workbench
from tasks.answering import answer
from tasks.candidates import starting_point
from tasks.core.citations import without_markers
from tasks.core.metrics.question import Marking
from tasks.core.scoring import mark
from tasks.core.taught_rows import OpinionMethod
from tasks.labels import import_labels
from tasks.preferences import learn_and_register, render_opinions

if TYPE_CHECKING:
    from tasks.core.releases import ReleaseManifest

SPLITS = ("train", "validation")


def mistakes(bench: Workbench, base: ReleaseManifest, pairs: int) -> list[dict[str, object]]:
    """Preferences of the label's answer over what the base says, where that is not wholly right.

    pairs: at most as many of the training split, and a fifth as many of the validation split.
    """
    found: list[dict[str, object]] = []
    known = sorted(bench.label_catalog.labels(ASSISTANT), key=lambda one: one.id)
    for split, most in zip(SPLITS, (pairs, -(-pairs // 5)), strict=True):
        labels = [one for one in known if one.split == split and one.documents][: 3 * most]
        answers = answer([one.question for one in labels], base, bench.answering, shown_progress())
        scored = mark(base.id, labels, answers, Marking(base.prompt.abstention, base.retrieval.k)).questions
        asked = zip(labels, answers, scored, strict=True)
        wrong = [(label, without_markers(given.text)) for label, given, one in asked if not one.scores["all_right"]]
        found += [
            {
                "question": label.question,
                "chosen": label.answer,
                "rejected": instead,
                "documents": list(label.documents),
                "split": split,
            }
            for label, instead in wrong[:most]
            if instead != label.answer
        ]
    return found


def as_ratings(preferences: list[dict[str, object]]) -> list[dict[str, object]]:
    """Both answers of each, rated."""
    return [
        {"question": one["question"], "answer": one[name], "label": name == "chosen", "documents": one["documents"]}
        | {"split": one["split"]}
        for one in preferences
        for name in ("chosen", "rejected")
    ]


async def learnt(work: Path, method: OpinionMethod, pairs: int) -> Learnt:
    """The base, and what one training on its mistakes made of it."""
    bench = await opened(work / "home", seed=0)
    try:
        base = starting_point(bench.candidates)
        preferences = mistakes(bench, base, pairs)
        file = work / f"{method}.jsonl"
        told = preferences if method == "dpo" else as_ratings(preferences)
        file.write_text("".join(json.dumps(one) + "\n" for one in told))
        import_labels(bench.labels, file)
        learning = bench.preferring(base.model, method)
        rendered = render_opinions(learning, base.snapshot, base.prompt, base.retrieval)
        print(rendered.sentence, flush=True)
        made = learn_and_register(learning, rendered, shown_progress())
        metrics = made.model.lineage.metrics
        print({name: round(value, 3) for name, value in metrics.items()}, flush=True)
        tuned = base.model_copy(update={"model": made.model.ref})
        return Learnt(
            seed=0,
            trainer=made.model.lineage.trainer,
            base_release=base.id,
            release=tuned.id,
            adapter=str(made.model.ref.adapter),
            dataset=str(made.model.lineage.dataset),
            seconds=metrics["seconds"],
            cores=bench.settings.torch_threads or 0,
            forgetting=metrics.get("forgetting_nats_per_token"),
            questions=tuple(compared(sheet(bench, base), sheet(bench, tuned))),
        )
    finally:
        bench.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="keeps the home, the file of opinions and what was answered")
    parser.add_argument("--method", choices=["dpo", "kto"], default="dpo")
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--json", type=Path, help="where to write every question's scores")
    asked = parser.parse_args()
    work = asked.folder.resolve()
    work.mkdir(parents=True, exist_ok=True)
    silence_telemetry()
    use_a_private_prefect(seeded(work / "home", 0))
    from flows.terminal import ProgressLines

    with showing(ProgressLines()):
        result = asyncio.run(learnt(work, asked.method, asked.pairs))
    print(said(f"before and after {asked.method}", [result]))
    print(f"  {result.seconds:.0f} s of training; forgetting: {result.forgetting}")
    if asked.json:
        asked.json.write_text(json.dumps(asdict(result), indent=1) + "\n")
    found = rows([result])
    better, worse = [one.measure for one in found if one.lower > 0], [one.measure for one in found if one.upper < 0]
    print(f"  better: {', '.join(better) or 'nothing'}; worse: {', '.join(worse) or 'nothing'}")
    return 1 if worse or not better else 0


if __name__ == "__main__":
    sys.exit(main())
