"""`ratchet status` tells the last runs that Prefect knows of this assistant, and why where it cannot."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from http_fake import QuietHandler, serving
from prefect import get_client
from prefect.settings import get_current_settings
from prefect.states import Completed, Failed, Scheduled

from flows.cli import ratchet
from flows.refresh_assistant import refresh_assistant
from flows.reingest_docs import ReingestRequest, reingest_docs
from infra.adapters import prefect_last_runs

pytestmark = [pytest.mark.usefixtures("home"), pytest.mark.xdist_group("prefect")]


@pytest.fixture
def status(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    def shown(url: str, *words: str) -> Result:
        monkeypatch.setenv("PREFECT_API_URL", url)
        return CliRunner().invoke(ratchet, ["status", *words], catch_exceptions=False)

    return shown


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


class Proxy(QuietHandler):
    """Answers anything with a page; the state is the status."""

    state: int

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(self.state)
        self.send_header("content-length", "6")
        self.end_headers()
        self.wfile.write(b"<html>")


async def run_of(assistant: str, name: str, state: Any) -> None:
    async with get_client() as client:
        request = {"request": {"assistant": assistant}}
        await client.create_flow_run(refresh_assistant, parameters=request, name=name, state=state)


@pytest.mark.usefixtures("prefect_server")
def test_the_last_runs_of_this_assistant_are_told_newest_first(status: Callable[..., Result], docs: Path) -> None:
    asyncio.run(reingest_docs(ReingestRequest(assistant="seen", path=str(docs))))
    asyncio.run(run_of("seen", "a failure", Failed(message="no")))
    asyncio.run(run_of("another", "somebody else's", Completed()))
    asyncio.run(run_of("seen", "tomorrow", Scheduled(scheduled_time=datetime.now(UTC) + timedelta(days=1))))
    url = get_current_settings().api.url
    assert url
    told = json.loads(status(url, "--assistant", "seen", "--json").stdout)
    assert [(run["name"], run["flow"], run["state"]) for run in told["runs"]] == [
        ("a failure", "refresh-assistant", "Failed"),
        ("seen: re-ingest (manual)", "reingest-docs", "Completed"),
    ]
    assert told["runs_unknown"] is None
    ages = [datetime.now(UTC) - datetime.fromisoformat(run["at"]) for run in told["runs"]]
    assert timedelta(0) < ages[0] < ages[1] < timedelta(minutes=5)
    text = status(url, "--assistant", "seen").stdout
    assert "refresh-assistant: Failed  (a failure)" in text
    assert "somebody else's" not in text
    assert "runs        none on this Prefect server" in status(url, "--assistant", "unheard-of").stdout


def test_every_flow_that_works_for_an_assistant_is_looked_for() -> None:
    deployments = yaml.safe_load((Path(__file__).parents[2] / "prefect.yaml").read_text())["deployments"]
    deployed = {one["entrypoint"].rsplit(".", 1)[1].replace("_", "-") for one in deployments}
    assert deployed - set(prefect_last_runs.FLOWS) == {"deliver-notices", "tend-runs"}
    assert set(prefect_last_runs.FLOWS) <= deployed


@pytest.mark.parametrize("code", [200, 401, 500])
def test_whoever_else_answers_is_no_failure_of_the_command(status: Callable[..., Result], code: int) -> None:
    says = {200: "something that is not Prefect's API"}.get(code, f"Prefect answered {code}")
    with serving(Proxy, code) as address:
        result = status(f"{address}/api")
    assert result.exit_code == 0
    assert says in next(line for line in result.stdout.splitlines() if line.startswith("runs        not known: "))


def test_a_server_that_says_nothing_is_not_waited_for(
    status: Callable[..., Result], silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefect_last_runs, "PATIENCE_SECONDS", 0.5)
    begun = time.monotonic()
    told = json.loads(status(f"http://127.0.0.1:{silent_port}/api", "--json").stdout)
    assert time.monotonic() - begun < 10
    assert (told["runs"], told["snapshot"]) == (None, None)
    assert told["runs_unknown"]


def test_a_server_that_is_away_is_told_in_one_line_and_prefect_is_not_imported(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    code = (
        "import sys\nfrom flows.cli import ratchet\n"
        "try: ratchet(['status'])\nexcept SystemExit as end: status = end.code\n"
        "sys.exit(status or ('prefect' in sys.modules))"
    )
    environment = {"PREFECT_API_URL": f"http://127.0.0.1:{port}/api", "RATCHET_HOME": str(home)}
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "runs        not known: ConnectError: Prefect's API cannot be reached." in done.stdout


def test_without_prefect_there_is_no_line_and_json_says_why(status: Callable[..., Result]) -> None:
    assert not [line for line in status("").stdout.splitlines() if line.startswith("runs")]
    told = json.loads(status("", "--json").stdout)
    assert (told["runs"], told["runs_unknown"]) == (None, "PREFECT_API_URL is not set.")
