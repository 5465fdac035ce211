"""How long the arithmetic of a verdict takes: 8 metrics on 500 questions, 10,000 resamples each.

    .venv/bin/python benchmarks/gates/arithmetic.py [--rounds 3] [--json FILE]

Every round is a process of its own: the first time everything is drawn, the second time the draws are there. The best
round counts. The bounds have to be the same bits on one thread and on two. Exit status 1 when they are not, or when
the first time takes more than a second.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LIMIT_SECONDS = 1.0

PROGRAM = """
import json, sys, time
begun = time.perf_counter()
import numpy as np
from tasks.core.stats import Resampling, estimate_difference
imported = time.perf_counter() - begun
rng = np.random.default_rng(0)
pages = rng.integers(0, int(sys.argv[1]), 500).tolist()
metrics = [(rng.integers(0, 2, 500) - rng.integers(0, 2, 500)).tolist() for _ in range(4)]
metrics += [rng.uniform(-1, 1, 500).tolist() for _ in range(4)]
told = {"import": imported}
for name in ("first", "again"):
    wall, cpu = time.perf_counter(), time.process_time()
    seen = [estimate_difference(values, pages, alpha=0.05, how=Resampling()) for values in metrics]
    told[name], told[name + "_cpu"] = time.perf_counter() - wall, time.process_time() - cpu
told["bits"] = [x.hex() for one in seen for x in (one.mean, one.lower, one.upper)]
print(json.dumps(told))
"""


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--quick", action="store_true", help="one round")
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--json", type=Path)
    given = asked.parse_args()
    rows = [
        _measured(pages, threads, 1 if given.quick else given.rounds) for pages in (10_000, 100) for threads in (1, 2)
    ]
    print(f"{'pages':<22}{'threads':>8}{'first time':>14}{'again':>12}{'of the processor':>20}")
    for row in rows:
        both = f"{row['first_cpu']:.2f} s, {row['again_cpu']:.2f} s"
        print(f"{row['pages']:<22}{row['threads']:>8}{row['first']:>12.2f} s{row['again']:>10.2f} s{both:>20}")
    same = all(rows[at]["bits"] == rows[at + 1]["bits"] for at in (0, 2))
    print(f"the same bits on one thread and on two: {'yes' if same else 'NO'}")
    if given.json:
        kept = [{name: value for name, value in row.items() if name != "bits"} for row in rows]
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps({"same_bits": same, "rows": kept}, indent=1) + "\n")
    slowest = max(row["first"] for row in rows)
    sys.exit(None if same and slowest <= LIMIT_SECONDS else f"slowest {slowest:.2f} s, same bits: {same}")


def _measured(pages: int, threads: int, rounds: int) -> dict[str, Any]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": str(threads)}
    command = [sys.executable, "-c", PROGRAM, str(pages)]
    told = [
        json.loads(subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout)
        for _ in range(rounds)
    ]
    best = min(told, key=lambda one: one["first"])
    return {"pages": "one a question" if pages > 500 else f"{pages}", "threads": threads, **best}


if __name__ == "__main__":
    main()
