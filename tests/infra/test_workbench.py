"""Every command opens a workbench, also those that answer at once: nothing is behind it until it is asked for."""

import subprocess
import sys
from pathlib import Path

from infra.settings import Settings
from infra.workbench import Workbench

HEAVY = {"torch", "transformers", "prefect", "unstructured", "openai", "sqlalchemy"}


def test_making_one_writes_nothing(tmp_path: Path) -> None:
    bench = Workbench("default", Settings(home=tmp_path / "home"))
    assert bench.home == tmp_path / "home"
    assert list(tmp_path.iterdir()) == []


def test_what_makes_benches_loads_none_of_the_libraries_behind_them() -> None:
    code = (
        "import sys, infra.workbench, infra.training_benches, infra.evaluation_bench\n"
        f"sys.exit(' '.join({HEAVY} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
