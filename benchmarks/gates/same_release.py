"""A release against its equal, through the whole verdict: it must never be rejected.

    .venv/bin/python benchmarks/gates/same_release.py [--quick] [--seeds 200] [--json FILE]

Three ways of being equal: the same answers; answers of the same quality of which a few differ; and two independent
tries at every question, so that many differ. Each against the release being served and the anchor, with the default
policy, every gate, five folders as slices and answering times drawn alike. Exit status 1 when one is rejected.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # one per worker; set before numpy is imported

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[2] / "tests/fakes")]

from evaluation_fakes import ABSTENTION, declines, golden_label, miscited, passages, perfect, uncited, wrong  # noqa: E402

from tasks.core.answers import Answer  # noqa: E402
from tasks.core.integrity import Integrity  # noqa: E402
from tasks.core.labels import Label, golden_set  # noqa: E402
from tasks.core.metrics.question import Marking  # noqa: E402
from tasks.core.pace import Rehearsal, Rehearsed  # noqa: E402
from tasks.core.policy import Policy  # noqa: E402
from tasks.core.scoring import Scored, ScoreSheet, mark, mark_trivial  # noqa: E402
from tasks.core.verdict import Case, Verdict, decide  # noqa: E402

Differing = Literal["nothing", "a few answers", "many answers"]
SHARED = {"nothing": 1.0, "a few answers": 0.8, "many answers": 0.0}  # of the luck of two releases
FOLDERS = ("pumps", "oils", "safety", "service", "spares")
MARKING = Marking(abstention=ABSTENTION, k=2)


@dataclass(frozen=True)
class Cell:
    """A golden set and how alike two releases answer it. A quarter of the questions is unanswerable."""

    questions: int
    per_page: int
    differing: Differing


def lost(label: Label) -> Answer:
    """Retrieval did not find the page."""
    return replace(declines(label), contexts=passages(label)[1:])


WAYS = (perfect, wrong, uncited, miscited, declines, lost)
WRONG_WAYS = np.array([0.5, 0.1, 0.1, 0.15, 0.15])


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--quick", action="store_true", help="40 seeds")
    asked.add_argument("--seeds", type=int, default=200)
    asked.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    asked.add_argument("--json", type=Path)
    given = asked.parse_args()
    seeds, begun = 40 if given.quick else given.seeds, time.perf_counter()
    layouts = ((80, 1), (160, 2), (160, 4), (400, 4))
    cells = [Cell(*layout, differing) for layout, differing in product(layouts, SHARED)]
    print(
        f"{'questions':>9} {'a page':>6}  {'differing':<16}{'PROMOTE':>8}{'HOLD':>8}{'REJECT':>8}   what holds",
        flush=True,
    )
    rows = []
    with ProcessPoolExecutor(given.workers) as pool:
        for cell, told in zip(cells, pool.map(_judged, cells, [seeds] * len(cells)), strict=True):
            rows.append(_row(cell, told))
    seconds = time.perf_counter() - begun
    print(f"{seconds:.0f} s, {seeds} seeds each")
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps({"seconds": round(seconds), "seeds": seeds, "cells": rows}, indent=1) + "\n")
    rejected = sum(row["REJECT"] for row in rows)
    sys.exit(f"{rejected} releases were rejected for being equal" if rejected else None)


def _row(cell: Cell, told: Sequence[tuple[str, tuple[str, ...]]]) -> dict[str, Any]:
    words = Counter(word for word, _ in told)
    gates = Counter(gate for _, names in told for gate in names)
    often = ", ".join(f"{name} {times}" for name, times in gates.most_common(3))
    counts = {word: words[word] for word in ("PROMOTE", "HOLD", "REJECT")}
    shown = "".join(f"{count:>8}" for count in counts.values())
    print(f"{cell.questions:>9} {cell.per_page:>6}  {cell.differing:<16}{shown}   {often}", flush=True)
    return {"questions": cell.questions, "per_page": cell.per_page, "differing": cell.differing, **counts}


def _judged(cell: Cell, seeds: int) -> list[tuple[str, tuple[str, ...]]]:
    """Per seed: the verdict, and the gates that failed or doubted."""
    world = World(cell)
    return [_told(decide(world.case(np.random.default_rng([20_261_125, seed])))) for seed in range(seeds)]


def _told(verdict: Verdict) -> tuple[str, tuple[str, ...]]:
    return verdict.verdict, tuple(gate.name for gate in verdict.gates if gate.outcome in ("fail", "undecided"))


class World:
    """A golden set; every way to answer it scored once; and releases that answer it with the same chances."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._labels = tuple(_labels(cell))
        self._ways = [mark("", self._labels, [way(label) for label in self._labels], MARKING) for way in WAYS]
        self._labels = self._ways[0].labels  # in the order of a score sheet
        self._trivial = mark_trivial(self._ways[0], MARKING)
        golden = golden_set(self._labels)
        self._integrity = Integrity(golden.id if golden else None)
        _, self._member = np.unique([label.documents[0] for label in self._labels], return_inverse=True)

    def case(self, rng: np.random.Generator) -> Case:
        """A candidate, the release being served and the anchor, all equal."""
        page, own = rng.normal(size=self._member.max() + 1)[self._member], rng.normal(size=len(self._labels))
        chances = 1 / (1 + np.exp(-(1.2 + page + 1.5 * own)))
        common = rng.random(len(self._labels)), rng.choice(np.arange(1, 6), p=WRONG_WAYS, size=len(self._labels))
        candidate, current, anchor = (self._sheet(name, rng, chances, common) for name in ("r-1", "r-2", "r-3"))
        return Case(
            policy=Policy(),
            candidate=candidate,
            baseline=current,
            trivial=self._trivial,
            integrity=self._integrity,
            kinds=("documents",),
            anchor=anchor,
            rehearsal=Rehearsal(_rehearsed(candidate, rng), _rehearsed(current, rng)),
        )

    def _sheet(self, name: str, rng: np.random.Generator, chances: Any, common: Any) -> ScoreSheet:
        n = len(self._labels)
        shared = rng.random(n) < SHARED[self._cell.differing]
        luck = np.where(shared, common[0], rng.random(n))
        fault = np.where(shared, common[1], rng.choice(np.arange(1, 6), p=WRONG_WAYS, size=n))
        ways = np.where(luck < chances, 0, fault)
        return ScoreSheet(name, tuple(self._scored(int(way), at) for at, way in enumerate(ways)))

    def _scored(self, way: int, at: int) -> Scored:
        return self._ways[way].questions[at]


def _labels(cell: Cell) -> list[Label]:
    pages = cell.questions // cell.per_page
    return [
        golden_label(n, page=f"{FOLDERS[n % pages % 5]}/{n % pages}.md", unanswerable=n >= 0.75 * cell.questions)
        for n in range(cell.questions)
    ]


def _rehearsed(sheet: ScoreSheet, rng: np.random.Generator) -> tuple[Rehearsed, ...]:
    seconds = np.round(rng.lognormal(-1, 0.2, size=6), 3)
    return tuple(
        Rehearsed(q.label.id, q.answer.text, float(s)) for q, s in zip(sheet.questions[:6], seconds, strict=True)
    )


if __name__ == "__main__":
    main()
