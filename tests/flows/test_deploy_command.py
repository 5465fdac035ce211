"""`ratchet deploy` as a person or a program uses it, on a real Prefect server and on none."""

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from deployed_things import clear_deployed
from http_fake import QuietHandler, serving
from prefect import get_client
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

from flows.cli import ratchet
from infra.deploy.catalogue import MARK

pytestmark = [pytest.mark.usefixtures("prefect_server", "home"), pytest.mark.xdist_group("prefect")]

Deploy = Callable[..., Result]


@pytest.fixture
def deploy() -> Deploy:
    return lambda *words: CliRunner().invoke(ratchet, ["deploy", *words], catch_exceptions=False)


@pytest.fixture(scope="module", autouse=True)
def cleared(prefect_server: None) -> Iterator[None]:
    """None of it is left for the tests of others to meet."""
    yield
    asyncio.run(clear_deployed())


async def deployed() -> set[str]:
    async with get_client() as client:
        return {one.name for one in await client.read_deployments() if MARK in one.tags}


def away() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}/api"


def told(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)  # type: ignore[no-any-return]


def test_a_dry_run_tells_what_the_deploy_then_does_and_the_next_finds_nothing_to_do(deploy: Deploy) -> None:
    url = get_current_settings().api.url
    dry = told(deploy("--dry-run", "--json"))
    assert (dry["dry_run"], dry["api"], asyncio.run(deployed())) == (True, url, set())
    row = next(one for one in dry["changes"] if one["name"] == "refresh-assistant/default")
    assert (row["action"], row["kind"]) == ("create", "deployment")
    shown = deploy("--dry-run").stdout.splitlines()
    assert shown[0] == f"would change {url}"
    assert "+ deployment refresh-assistant/default" in shown

    done = told(deploy("--json"))
    assert (done["dry_run"], done["changes"]) == (False, dry["changes"])
    assert asyncio.run(deployed()) == {"default"}

    again = told(deploy("--json"))
    assert again["changes"] == []
    assert again["unchanged"] >= len(done["changes"]) + done["unchanged"]
    assert deploy().stdout.splitlines() == [
        str(url),
        f"0 new, 0 changed, 0 removed, {again['unchanged']} as they should be",
    ]


def test_a_server_that_is_away_is_one_sentence_and_a_failure(deploy: Deploy) -> None:
    with temporary_settings({PREFECT_API_URL: away().replace("//", "//me:secret@")}):
        result = deploy("--json")
    assert result.exit_code == 1
    assert result.stderr.startswith("ratchet: No Prefect server answers at http://127.0.0.1:")
    assert "Traceback" not in result.output
    assert "secret" not in result.output
    assert json.loads(result.stdout)["error"]["code"] == "prefect_unavailable"


def test_a_flow_that_finds_no_server_is_one_sentence_too(docs: Path) -> None:
    with temporary_settings({PREFECT_API_URL: away()}):
        result = CliRunner().invoke(ratchet, ["ingest", str(docs)], catch_exceptions=False)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("ratchet: No Prefect server answers at http://127.0.0.1:")


class Stranger(QuietHandler):
    """A server that wants to know who asks."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("content-length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.do_GET()


def test_a_server_that_lets_nobody_in_is_told_from_one_that_is_away(deploy: Deploy) -> None:
    with serving(Stranger, None) as address, temporary_settings({PREFECT_API_URL: f"{address}/api"}):
        result = deploy()
    assert result.exit_code == 1
    assert "answers 401. Set PREFECT_API_AUTH_STRING" in result.stderr


def test_without_a_server_it_says_how_to_have_one(deploy: Deploy) -> None:
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        result = deploy()
    assert result.exit_code == 2
    assert "prefect server start" in result.stderr


def test_a_file_that_is_not_there_is_named(deploy: Deploy, tmp_path: Path) -> None:
    result = deploy("--file", str(tmp_path / "none.yaml"))
    assert result.exit_code == 2
    assert f"{tmp_path / 'none.yaml'} cannot be read" in result.stderr
