"""Recomputes evidence bundles elsewhere: each in an interpreter that shares nothing with the one that judged.

    .venv/bin/python benchmarks/gates/recompute.py [--bundles 100] [--questions 90]

Every bundle is made here from random answers (seeded), policies, slices of changes and rehearsals, and written to a
folder. Then each is read by `ratchet recheck` in a fresh process with another PYTHONHASHSEED, another OMP_NUM_THREADS
(1 to 4), an empty home and another working directory. Prints how many came out byte for byte as recorded, and how many
distinct bundles and verdicts there were; exit status 1 when one did not.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "fakes")]

from evaluation_fakes import (  # noqa: E402
    Behaviour,
    declines,
    evidence,
    golden_labels,
    manifest,
    miscited,
    perfect,
    uncited,
    wrong,
)

from tasks.core.answers import Answer  # noqa: E402
from tasks.core.comparison import Touch  # noqa: E402
from tasks.core.evidence import PAGE, REPORT, Evidence, bundle, case_of  # noqa: E402
from tasks.core.labels import Label  # noqa: E402
from tasks.core.pace import Rehearsal, Rehearsed  # noqa: E402
from tasks.core.policy import Policy  # noqa: E402
from tasks.core.verdict import decide  # noqa: E402
from tasks.gathering import versions  # noqa: E402

MANIFESTS = (manifest(adapter="sha256-1"), manifest(snapshot=2), manifest(k=1), manifest(system="Answer!"))


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--bundles", type=int, default=100)
    asked.add_argument("--questions", type=int, default=90)
    given = asked.parse_args()
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        words: Counter[str] = Counter()
        folders = [Path(scratch) / f"{n:03}" for n in range(given.bundles)]
        for n, folder in enumerate(folders):
            words[_write(folder, _evidence(random.Random(n), given.questions))] += 1
        made = time.perf_counter()
        wrong_ones = [why for n, folder in enumerate(folders) if (why := _recheck(folder, n, Path(scratch)))]
        distinct = len({(folder / "evidence.json").read_bytes() for folder in folders})
    took = time.perf_counter() - made
    print(f"{given.bundles} bundles of {given.questions} questions, {distinct} distinct; verdicts {dict(words)}")
    print(f"{given.bundles - len(wrong_ones)} of {given.bundles} recomputed byte for byte")
    print(f"made in {made - begun:.0f} s, recomputed in {took:.0f} s, {took / given.bundles:.2f} s each")
    sys.exit("\n".join(wrong_ones) or None)


def _evidence(draw: random.Random, questions: int) -> Evidence:
    labels = golden_labels(questions - questions // 3, questions // 3, per_page=draw.choice([1, 2, 3]))
    anchored = draw.random() < 0.5
    made = evidence(
        labels,
        _behaviour(draw),
        None if draw.random() < 0.2 else _behaviour(draw),
        candidate=draw.choice(MANIFESTS),
        policy=Policy(seed=draw.randrange(1_000), alpha=draw.choice([0.01, 0.05, 0.1])),
        touched=_touched(draw, labels),
    )
    return replace(
        made,
        anchor=manifest(snapshot=9) if anchored else None,
        anchor_answers=tuple(map(_behaviour(draw), labels)) if anchored else (),
        anchor_touched=_touched(draw, labels) if anchored else {},
        rehearsal=Rehearsal(_rehearsed(draw, labels), _rehearsed(draw, labels) if made.baseline else ()),
        versions=versions(),
    )


def _behaviour(draw: random.Random) -> Behaviour:
    """Right with some chance, and otherwise wrong in one of four ways."""
    skill = draw.uniform(0.3, 1.0)

    def answer(label: Label) -> Answer:
        return perfect(label) if draw.random() < skill else draw.choice([wrong, uncited, miscited, declines])(label)

    return answer


def _touched(draw: random.Random, labels: tuple[Label, ...]) -> dict[str, Touch]:
    words: tuple[Touch, Touch] = ("answer", "page")
    return {label.id: draw.choice(words) for label in labels if draw.random() < 0.05}


def _rehearsed(draw: random.Random, labels: tuple[Label, ...]) -> tuple[Rehearsed, ...]:
    return tuple(Rehearsed(x.id, perfect(x).text, round(draw.uniform(0.2, 0.6), 3)) for x in labels[:6])


def _write(folder: Path, given: Evidence) -> str:
    case = case_of(given)
    verdict = decide(case)
    folder.mkdir()
    reports = {REPORT: f"# {verdict.verdict}\n", PAGE: f"<h1>{verdict.verdict}</h1>"}
    for name, data in bundle(given, case, verdict, reports).items():
        (folder / name).write_bytes(data)
    return verdict.verdict


def _recheck(folder: Path, n: int, scratch: Path) -> str | None:
    """Why a bundle was not recomputed; None when it was."""
    environment = os.environ | {
        "PYTHONHASHSEED": str(n),
        "OMP_NUM_THREADS": str(1 + n % 4),
        "RATCHET_HOME": str(scratch / "nowhere"),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "flows.cli", "recheck", str(folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=scratch, check=False)
    if done.returncode == 0 and json.loads(done.stdout)["identical"]:
        return None
    return f"{folder.name}: {done.stdout or done.stderr}"


if __name__ == "__main__":
    main()
