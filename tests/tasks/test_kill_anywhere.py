"""Promise 4: a kill at any moment loses nothing and shows nothing half-done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tasks.snapshots import EMBED_BATCH

SCRIPT = Path(__file__).parents[1] / "fakes" / "kill_points.py"
STEP = os.environ.get("RATCHET_TEST_KILL_STEP", "3")  # 1 kills at every single call, and takes a minute
pytestmark = pytest.mark.xdist_group("kills")  # one run of the script serves all tests


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("kills")
    done = subprocess.run([sys.executable, SCRIPT, folder, STEP], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_run_was_killed_at_many_places_and_then_got_through(cases: list[dict[str, Any]]) -> None:
    assert [case["status"] for case in cases] == [-9] * (len(cases) - 1) + [0]
    assert len(cases) > 25


def test_after_a_kill_a_reader_sees_one_whole_snapshot(cases: list[dict[str, Any]]) -> None:
    assert all(case["after_kill"]["whole"] for case in cases)
    assert {case["after_kill"]["snapshot"] for case in cases} == {1, 2}


def test_the_next_run_ends_where_an_undisturbed_one_does(cases: list[dict[str, Any]]) -> None:
    undisturbed = cases[-1]["after_rerun"]
    assert all(case["after_rerun"] == undisturbed for case in cases)
    assert undisturbed["whole"]
    assert undisturbed["leftovers"] == 0


def test_at_most_one_batch_is_embedded_twice(cases: list[dict[str, Any]]) -> None:
    needed = cases[-1]["embedded"]
    assert needed > 2 * EMBED_BATCH
    assert max(case["embedded"] for case in cases) <= needed + EMBED_BATCH
