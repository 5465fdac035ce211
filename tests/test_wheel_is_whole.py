"""What is installed from a wheel finds all that the checkout finds: deployments, handbook, templates, migrations."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("flows", "tasks", "blocks", "infra")
FOR_A_CHECKOUT = {"infra/deploy/kubernetes-hosted", "infra/deploy/images", "infra/deploy/kubernetes", "infra/deploy"}
"""Folders of what images and clusters are made from; of these the wheel has what the code reads."""
READ = {"infra/deploy/kubernetes/job-template.json", "infra/deploy/prefect.yaml"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "prefect.yaml"):
        shutil.copy(ROOT / name, source)
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(out)!r})"
    done = subprocess.run([sys.executable, "-c", build], cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (built,) = out.glob("*.whl")
    return built


def test_every_file_that_the_code_reads_is_in_it(wheel: Path) -> None:
    ours = [
        path.relative_to(ROOT)
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    ]
    wanted = {str(one) for one in ours if one.suffix == ".py" or str(one.parent) not in FOR_A_CHECKOUT} | READ
    held = set(zipfile.ZipFile(wheel).namelist())
    assert len(wanted) > 400
    assert wanted - held == set()


def test_unpacked_anywhere_it_reads_the_deployments_of_the_checkout(wheel: Path, tmp_path: Path) -> None:
    installed, elsewhere = tmp_path / "installed", tmp_path / "elsewhere"
    zipfile.ZipFile(wheel).extractall(installed)
    elsewhere.mkdir()
    code = (
        "import infra.deploy.deployment_file as it; from flows.demo.handbook_folder import LABELS, SHIPPED; "
        "print(it.__file__, len(it.read_deployments().deployments), len([*SHIPPED.rglob('*.*')]), LABELS.is_file())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(installed)},
        cwd=elsewhere,
        capture_output=True,
        text=True,
        check=False,
    )
    where, deployments, pages, labels = done.stdout.split()
    assert where == str(installed / "infra" / "deploy" / "deployment_file.py")
    assert (int(deployments), int(pages), labels) == (10, 64, "True")
    assert (installed / "infra/deploy/prefect.yaml").read_text() == (ROOT / "prefect.yaml").read_text()
