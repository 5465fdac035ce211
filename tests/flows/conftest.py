"""An assistant whose base model is a tiny random llama, and nobody's real Prefect server."""

import os

os.environ["PREFECT_API_URL"] = ""
os.environ["DO_NOT_TRACK"] = "1"

from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Run, run_ratchet
from hosted_vendor import FastClock, Vendor
from openai_hosted_fake import HostedServer, hosted_server
from tiny_llama import tiny_llama

PAGES = {
    "pump.md": "# Bilge pump\n\n## Flow\n\nThe bilge pump moves 90 litres of water per minute.\n",
    "saw.md": "# Band saw\n\n## Blade\n\nThe blade of the band saw is 27 millimetres wide.\n",
    "mast.md": "# Light mast\n\n## Height\n\nThe light mast stands 9 metres tall.\n",
}


@pytest.fixture(scope="session")
def tiny_base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama(tmp_path_factory.mktemp("base"))


@pytest.fixture
def home(tmp_path: Path, tiny_base_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RATCHET_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RATCHET_BASE_MODEL", str(tiny_base_model))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for name, text in PAGES.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def run() -> Run:
    return run_ratchet


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HostedServer]:
    """A vendor that settings name; whatever it was asked is as its API is described."""
    with hosted_server(Vendor(FastClock())) as running:
        for name, value in running.settings.items():
            monkeypatch.setenv(name, value)
        yield running
        assert running.violations == []
