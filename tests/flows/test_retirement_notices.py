"""Hosted models that stop: told once for each of 90, 30 and 7 days and the day itself, whatever is repeated."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.deliver_notices import sweep
from infra.adapters.prefect_runs import PrefectRuns
from infra.settings import Settings
from infra.workbench import Workbench, open_workbench
from tasks.core.hosted_retirement import retirement_of
from tasks.core.releases import ModelRef, SnapshotRef
from tasks.outbox import MODEL_RETIRING, Notice, deliver
from tasks.training import Lineage

MODEL = "ft:gpt-4o-mini-2024-07-18:acme:pumps:1"
RETIREMENT = retirement_of(MODEL, "openai")
assert RETIREMENT is not None
STOPS = RETIREMENT.stops
SNAPSHOT = SnapshotRef(number=1, manifest_hash="m", collection="c")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """An assistant with no hosted model; there is no Prefect to tell."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    monkeypatch.setenv("PREFECT_API_URL", "")
    return open_workbench("default", Settings(home=tmp_path))


def tuned(bench: Workbench, assistant: str, model: str = MODEL) -> None:
    bench.trainings.start(assistant, "t-1", [])
    ref = ModelRef(kind="hosted", base=model, base_digest="")
    bench.trainings.succeed(assistant, ref, Lineage("t-1", "hosted-1", SNAPSHOT, (), 10, {}))


def waiting(bench: Workbench, assistant: str) -> list[object]:
    """The levels of the notices that wait."""
    return [one.payload["within_days"] for one in bench.outbox.pending(assistant) if one.topic == MODEL_RETIRING]


async def test_each_level_is_noted_once_however_often_a_sweep_looks(bench: Workbench) -> None:
    tuned(bench, "default")
    seen = []
    for left in (91, 90, 90, 60, 30, 29, 7, 1, 0, -1):
        await sweep(bench, STOPS - timedelta(days=left))
        seen.append(waiting(bench, "default"))
    assert seen == [
        *([], [90], [90], [90]),
        *([90, 30], [90, 30]),
        *([90, 30, 7], [90, 30, 7]),
        *([90, 30, 7, 0], [90, 30, 7, 0]),
    ]


async def test_what_was_told_is_not_noted_again(bench: Workbench) -> None:
    tuned(bench, "default")
    await sweep(bench, STOPS - timedelta(days=20))
    told: list[Notice] = []

    async def heard(notice: Notice) -> bool:
        told.append(notice)
        return True

    await deliver(bench.outbox, "default", heard)
    await sweep(bench, STOPS - timedelta(days=19))
    assert waiting(bench, "default") == []
    [notice] = told
    assert notice.payload == {"model": MODEL, "stops": STOPS.isoformat(), "within_days": 30}


async def test_every_assistant_of_the_catalog_is_warned_of_its_own_models(bench: Workbench) -> None:
    tuned(bench, "handbook")
    tuned(bench, "local", "some-model-that-nobody-retires")
    await sweep(bench, STOPS - timedelta(days=5))
    assert {name: waiting(bench, name) for name in ("default", "handbook", "local")} == {
        "default": [],
        "handbook": [7],
        "local": [],
    }


@contextmanager
def prefect_that_answers(status: int) -> Iterator[tuple[str, list[Any]]]:
    """An API's address, and the events that were posted to it."""
    posted: list[Any] = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.extend(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api", posted
        server.shutdown()


async def test_it_is_told_by_an_event_and_waits_until_that_is_heard(bench: Workbench) -> None:
    tuned(bench, "default")
    await sweep(bench, date(2027, 1, 10))
    with prefect_that_answers(500) as (address, _):
        assert await deliver(bench.outbox, "default", PrefectRuns(address).nudge) == []
    with prefect_that_answers(204) as (address, posted):
        [notice] = await deliver(bench.outbox, "default", PrefectRuns(address).nudge)
        await PrefectRuns(address).nudge(notice)  # as after a kill between telling and noting
    assert bench.outbox.pending("default") == []
    first, again = posted
    assert first["id"] == again["id"]
    assert (first["event"], first["resource"]) == (
        "ratchet.model.retiring",
        {"prefect.resource.id": "ratchet.assistant.default"},
    )
    assert first["payload"] == dict(notice.payload)
