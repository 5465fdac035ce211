"""Releases that each truly lose a point: how far a chain of them gets, with the anchor and without.

    .venv/bin/python benchmarks/gates/drift.py [--quick] [--chains 200] [--json FILE]

A golden set of 200 questions on 100 pages and one of 600 on 300. Every candidate answers one question in a hundred
worse than the release being served, for good, and 4 % of its answers come out otherwise by chance. What passes the
gates is served, and the next candidate starts from there. Without the anchor only `no-harm-correct` is asked, with it
`drift-correct` as well, both at the default ten points. Exit status 1 when chains get further than the budget and the
margin allow.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # one per worker; set before numpy is imported

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[2] / "tests/fakes")]

from evaluation_fakes import golden_labels, sheet  # noqa: E402

from tasks.core.gates.harm import drift_gate, no_harm_gate  # noqa: E402
from tasks.core.policy import Policy  # noqa: E402

STEP, BUDGET = 0.01, 0.1
RELEASES = 30  # tried in a chain: without an anchor 30 points
NOISE = 0.04
START = 0.9


@dataclass(frozen=True)
class Chain:
    """How far one chain got: points truly lost at its end, and by the first release that was refused."""

    promoted: int
    tried: int
    lost: float
    lost_at_first_refusal: float | None


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--quick", action="store_true", help="20 chains")
    asked.add_argument("--chains", type=int, default=200)
    asked.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    asked.add_argument("--json", type=Path)
    given = asked.parse_args()
    chains, begun, rows = 20 if given.quick else given.chains, time.perf_counter(), []
    print(
        f"{'questions':>9}  {'anchor':<7}{'promoted':>10}{'first refusal':>15}{'lost after 30 releases':>38}",
        flush=True,
    )
    with ProcessPoolExecutor(given.workers) as pool:
        for questions in (200, 600):
            for anchored in (False, True):
                seeds = range(chains)
                told = list(pool.map(_chain, [questions] * chains, [anchored] * chains, seeds, chunksize=5))
                rows.append(_row(questions, anchored, told))
    seconds = time.perf_counter() - begun
    print(f"{seconds:.0f} s, {chains} chains each")
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps({"seconds": round(seconds), "chains": chains, "cells": rows}, indent=1) + "\n")
    far = [row for row in rows if row["anchor"] and row["mean_lost"] > 100 * BUDGET]
    sys.exit(f"chains lost more than the budget of {100 * BUDGET:g} points on average: {far}" if far else None)


def _row(questions: int, anchored: bool, told: list[Chain]) -> dict[str, Any]:
    lost = np.array([100 * chain.lost for chain in told])
    refused = [100 * chain.lost_at_first_refusal for chain in told if chain.lost_at_first_refusal is not None]
    promoted = sum(chain.promoted for chain in told) / sum(chain.tried for chain in told)
    first = f"{np.median(refused):.0f} points" if refused else "never"
    low, high = np.quantile(lost, [0.05, 0.95])
    ends = f"{lost.mean():.1f} points (5 to 95 %: {low:.0f} to {high:.0f})"
    print(f"{questions:>9}  {'yes' if anchored else 'no':<7}{100 * promoted:>9.0f}%{first:>15}{ends:>38}", flush=True)
    return {
        "questions": questions,
        "anchor": anchored,
        "promoted": round(promoted, 4),
        "median_lost_at_first_refusal": float(np.median(refused)) if refused else None,
        "mean_lost": round(float(lost.mean()), 3),
        "most_lost": float(lost.max()),
    }


def _chain(questions: int, anchored: bool, seed: int) -> Chain:
    rng, policy = np.random.default_rng([20_261_125, questions, seed]), Policy(resamples=2_000)
    labels = golden_labels(questions, per_page=2)
    order = rng.random(questions)  # a release answers those below its quality

    def answering(quality: float) -> Any:
        right = (order < quality) ^ (rng.random(questions) < NOISE)
        return sheet(f"r-{100 * quality:.0f}", labels, correct=right.astype(float).tolist())

    anchor = current = answering(START)
    quality, promoted, first = START, 0, None
    for _ in range(RELEASES):
        candidate = answering(quality - STEP)
        gates = [no_harm_gate(candidate, current, "correct", BUDGET, policy)]
        if anchored and current is not anchor:
            gates.append(drift_gate(candidate, anchor, "correct", BUDGET, policy))
        if all(gate.outcome == "pass" for gate in gates):
            current, quality, promoted = candidate, quality - STEP, promoted + 1
        elif first is None:
            first = START - quality
    return Chain(promoted, RELEASES, START - quality, first)


if __name__ == "__main__":
    main()
