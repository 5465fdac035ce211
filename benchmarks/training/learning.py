"""What training teaches: the demo's base model beside its tuned one, on questions about pages that it never saw.

    .venv/bin/python benchmarks/training/learning.py FOLDER [--seeds 0,1,2] [--twice] [--json FILE]

Per seed: the demo's labels, trained and built into a release by the functions that the demo runs; then the golden
questions, answered as served by the base with three examples in its prompt and by the tuned release, scored as gates
score them. The intervals are the gates' own, clustered by page, 2.5 % on each side. `--twice` trains the first seed
again in a home made from nothing: the adapter must have the same hash.

About six minutes of two cores a seed. What was trained and what was answered is kept in FOLDER and not done again, so a
run that was ended goes on, and after a change of the code only what it touches is done anew. A training that was ended
begins again, because its seconds count. FOLDER/seed-N.json holds every question's scores. Exit status 1 when a goal is
not reached.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from learning_table import MEASURES, Asked, Learnt, goals, rows, said

from flows.demo.handbook_folder import LABELS, as_shipped, mirror
from flows.demo.run import use_a_private_prefect
from infra.offline import silence_telemetry
from infra.settings import Settings, load_settings
from infra.showing import showing, shown_progress
from infra.workbench import Workbench, open_workbench
from tasks.answering import answer
from tasks.candidates import starting_point
from tasks.core.labels import golden_set
from tasks.core.metrics.question import Marking
from tasks.core.metrics.score import Metric, Undefined
from tasks.core.scoring import ScoreSheet, mark
from tasks.core.stats import clusters_of
from tasks.labels import import_labels

if TYPE_CHECKING:
    from tasks.core.releases import ReleaseManifest
    from tasks.training import RegisteredModel

ASSISTANT = "demo"


async def opened(home: Path, seed: int) -> Workbench:
    """The demo's assistant after its steps 1 and 2, set to train with this seed."""
    from flows.reingest_docs import ReingestRequest, reingest

    bench = open_workbench(ASSISTANT, seeded(home, seed))
    mirror(as_shipped(), home / "demo" / "handbook")
    await reingest(bench, ReingestRequest(path=str(home / "demo" / "handbook")))
    import_labels(bench.labels, LABELS)
    return bench


def seeded(home: Path, seed: int) -> Settings:
    chosen = load_settings(home=home)
    return chosen.model_copy(update={"lora": chosen.lora.model_copy(update={"seed": seed})})


async def trained(bench: Workbench) -> tuple[RegisteredModel, ReleaseManifest]:
    """The model of this seed, found or trained, and its release."""
    from flows.retrain_model import RetrainRequest, train_and_judge

    shutil.rmtree(bench.home / "trainings", ignore_errors=True)
    report = await train_and_judge(bench, RetrainRequest(force=True, evaluate=False, promote=False))
    assert report.training is not None
    assert report.release is not None
    return report.training.model, report.release.manifest


async def learnt(work: Path, seed: int) -> Learnt:
    """What the seed gave. The base's answers and those of a seed that ended come out of the home's catalog."""
    bench = await opened(work / "home", seed)
    try:
        base = starting_point(bench.candidates)
        model, tuned = await trained(bench)
        result = Learnt(
            seed=seed,
            trainer=model.lineage.trainer,
            base_release=base.id,
            release=tuned.id,
            adapter=str(model.ref.adapter),
            dataset=str(model.lineage.dataset),
            seconds=model.lineage.metrics["seconds"],
            cores=bench.settings.torch_threads or os.cpu_count() or 1,
            forgetting=model.lineage.metrics.get("forgetting_nats_per_token"),
            questions=tuple(compared(sheet(bench, base), sheet(bench, tuned))),
        )
    finally:
        bench.close()
    (work / f"seed-{seed}.json").write_text(json.dumps(asdict(result), indent=1) + "\n")
    return result


def sheet(bench: Workbench, manifest: ReleaseManifest) -> ScoreSheet:
    """The release's answers to the golden questions, scored."""
    known = bench.label_catalog.labels(ASSISTANT)
    golden = golden_set(known)
    assert golden is not None
    labels = [label for label in known if label.id in golden.label_ids]
    answers = answer([label.question for label in labels], manifest, bench.answering, shown_progress())
    return mark(manifest.id, labels, answers, Marking(manifest.prompt.abstention, manifest.retrieval.k))


def compared(base: ScoreSheet, tuned: ScoreSheet) -> Iterator[Asked]:
    for before, after, page in zip(base.questions, tuned.questions, clusters_of(base.labels), strict=True):
        yield Asked(before.label.id, page, measured(before.scores), measured(after.scores))


def measured(scores: Mapping[Metric, float | Undefined]) -> dict[str, float]:
    known = {name: (scores[metric], sign) for name, (metric, sign) in MEASURES.items()}
    return {
        name: value if sign > 0 else 1 - value
        for name, (value, sign) in known.items()
        if not isinstance(value, Undefined)
    }


async def again(work: Path, seed: int) -> str:
    """The adapter of a training in a home of its own, made from nothing."""
    bench = await opened(work / "again", seed)
    try:
        model, _ = await trained(bench)
    finally:
        bench.close()
    return str(model.ref.adapter)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="keeps what each seed gave, and the home they are trained in")
    parser.add_argument("--seeds", default="0,1,2", help="of the adapter's first weights and the order of the rows")
    parser.add_argument("--twice", action="store_true", help="train the first seed again, from nothing")
    parser.add_argument("--json", type=Path, help="where to write the table and the goals too")
    asked = parser.parse_args()
    work, seeds = asked.folder.resolve(), [int(one) for one in asked.seeds.split(",")]
    work.mkdir(parents=True, exist_ok=True)
    silence_telemetry()
    use_a_private_prefect(seeded(work / "home", seeds[0]))
    from flows.terminal import ProgressLines

    results = []
    with showing(ProgressLines()):
        for seed in seeds:
            one = asyncio.run(learnt(work, seed))
            results.append(one)
            print(said(f"seed {seed}", [one]))
            forgot = "not measured" if one.forgetting is None else f"{one.forgetting:+.3f} nats/token"
            print(f"  {one.seconds:.0f} s of training on {one.cores} cores; forgetting: {forgot}")
            print(f"  adapter {one.adapter}\n", flush=True)
        twice = asyncio.run(again(work, seeds[0])) if asked.twice else None
    print(said(f"{len(seeds)} seeds together", results))
    reached = goals(results, twice)
    for goal in reached:
        print(f"  {'reached' if goal.reached else 'MISSED':<8} {goal.what}: {goal.found}")
    if asked.json:
        told = {
            "seeds": [
                {key: value for key, value in asdict(one).items() if key != "questions"}
                | {"measures": [asdict(measure) for measure in rows([one])]}
                for one in results
            ],
            "together": [asdict(one) for one in rows(results)],
            "goals": [asdict(goal) for goal in reached],
        }
        asked.json.write_text(json.dumps(told, indent=1) + "\n")
    missed = [goal.what for goal in reached if not goal.reached]
    print(f"{len(missed)} of {len(reached)} goals missed: {'; '.join(missed)}" if missed else "every goal reached")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
