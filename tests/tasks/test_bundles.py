"""Evidence that was carried elsewhere: recomputed by the command, on a machine that has nothing but the bundle."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from evaluation_fakes import evidence, golden_labels, mostly, perfect, wrong

from tasks.bundles import export, keep, recheck
from tasks.core.errors import UsageError
from tasks.core.evidence import EVIDENCE, PAGE, REPORT, bundle, case_of
from tasks.core.verdict import decide

HEAVY = ("torch", "transformers", "prefect", "sqlalchemy", "alembic", "weaviate", "openai", "unstructured")
COMMAND = f"""
import sys
from flows.cli import ratchet
try:
    ratchet(sys.argv[1:])
except SystemExit as ended:
    heavy = [name for name in {HEAVY!r} if name in sys.modules]
    sys.exit(f"imported {{heavy}}" if heavy else ended.code)
"""


@pytest.fixture
def carried(tmp_path: Path) -> Path:
    given = evidence(golden_labels(8, 4), mostly(perfect, wrong, every=3), perfect)
    case = case_of(given)
    folder = tmp_path / "carried"
    folder.mkdir()
    for name, data in bundle(given, case, decide(case), {REPORT: "# report\n", PAGE: "<p>report</p>"}).items():
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize("named", [".", REPORT, EVIDENCE])
def test_a_bundle_alone_is_recomputed_without_models_without_a_server_and_without_writing(
    carried: Path, tmp_path: Path, named: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for path in (*carried.iterdir(), carried):
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    root = str(Path(__file__).parents[2])
    environment = os.environ | {"RATCHET_HOME": str(elsewhere / "home"), "HOME": str(elsewhere), "PYTHONPATH": root}
    words = ["recheck", str(carried / named), "--json"]
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *words], capture_output=True, text=True, cwd=elsewhere, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["identical"] is True
    assert list(elsewhere.iterdir()) == []
    assert sorted(path.name for path in carried.iterdir()) == sorted(path.name for path in carried.glob("*.*"))
    assert len(list(carried.iterdir())) == 5


def test_an_exported_bundle_is_the_same_bundle(carried: Path, tmp_path: Path) -> None:
    (carried / "files.json").write_text("{}")  # of the store it comes from
    export(carried, tmp_path / "a" / "b")
    assert recheck(tmp_path / "a" / "b").identical
    assert {p.name for p in (tmp_path / "a" / "b").iterdir()} == {p.name for p in carried.iterdir()} - {"files.json"}


def test_nothing_that_lies_there_is_overwritten_by_an_export(carried: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / REPORT).write_text("mine")
    for to in (taken, taken / REPORT):
        with pytest.raises(UsageError, match="is not an empty folder"):
            export(carried, to)
    assert (taken / REPORT).read_text() == "mine"


def test_the_same_bundle_is_kept_under_the_same_name(carried: Path, tmp_path: Path) -> None:
    from infra.adapters.folder_artifacts import FolderArtifacts

    store = FolderArtifacts(tmp_path / "artifacts")
    files = {path.name: path.read_bytes() for path in carried.iterdir()}
    digest = keep(files, store)
    assert keep(files, store) == digest
    assert recheck(store.path(digest)).identical
