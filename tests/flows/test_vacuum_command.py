"""`ratchet vacuum` as a person or a program uses it, and what other commands say afterwards."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from flows.cli import ratchet

pytestmark = pytest.mark.usefixtures("home")


def run(*words: str) -> Result:
    return CliRunner().invoke(ratchet, list(words), catch_exceptions=False)


def read(*words: str) -> Any:
    return json.loads(run(*words, "--json").stdout)


def follow(docs: Path, versions: int) -> list[str]:
    """A release per version of the documents, each live."""
    made = []
    for version in range(versions):
        (docs / "crane.md").write_text(f"# Crane\n\n## Load\n\nThe crane lifts {version + 4} tonnes.\n")
        made.append(read("ingest", str(docs))["release"])
    return made


def test_a_vacuum_does_what_its_plan_says_and_the_other_commands_know(docs: Path) -> None:
    made = follow(docs, 3)
    planned = read("vacuum", "--plan", "--keep", "1", "--drop-unused-vectors")
    done = read("vacuum", "--keep", "1", "--drop-unused-vectors")
    own = {"plan", "index_chunks", "probes"}
    assert {k: planned[k] for k in planned.keys() - own} == {k: done[k] for k in done.keys() - own}
    assert (done["reclaimed"], done["kept"], done["vectors"], done["chunks"]) == ([1], [2, 3], 1, 1)
    status = read("status")["probes"]
    assert status == {"checked": done["probes"]["checked"], "identical": done["probes"]["identical"], "drifted": 0}
    assert status["checked"] > 0
    states = {row["release"]: row["state"] for row in read("releases")["releases"]}
    assert [states[release] for release in made] == ["reclaimed", "retired", "current"]
    refused = run("ask", "How much does the crane lift?", "--release", made[0])
    assert refused.exit_code == 2
    assert f"Releases kept: {made[2]}, {made[1]}." in refused.stderr
    assert "its snapshot 1 was reclaimed by vacuum on" in run("rollback", "--to", made[0]).stderr
    assert read("rollback")["release"] == made[1]


def test_a_person_reads_a_sentence_per_snapshot(docs: Path) -> None:
    (release,) = follow(docs, 1)
    assert run("status").stdout.count("probes      never asked again") == 1
    shown = run("vacuum").stdout
    assert f"Snapshot 1 is kept: release {release} is being served; it is the newest." in shown
    assert "found what they always found" in shown
    assert "found what they always found" in run("status").stdout
