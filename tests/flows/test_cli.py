"""The command line as a person or a program uses it: exit status, JSON, and bad input refused by name."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import Run, read

from infra.workbench import open_workbench
from tasks.evaluation import Evaluation

pytestmark = pytest.mark.usefixtures("home")


def test_ingest_then_ask_works_right_away_and_says_it_is_unproven(run: Run, docs: Path) -> None:
    ingested = read(run("ingest", docs, "--json"))
    assert ingested["snapshot"] == 1
    assert ingested["documents"] == {"added": 3, "changed": 0, "deleted": 0, "unchanged": 0, "quarantined": 0}
    assert ingested["chunks"]["born"] == ingested["chunks"]["live"] == ingested["embeds"] > 0
    answer = read(run("ask", "How tall is the light mast?", "--json"))
    assert {"answer", "release", "snapshot", "citations", "contexts", "pattern", "abstained"} <= answer.keys()
    assert (answer["release"], answer["unproven"], answer["pattern"]) == (ingested["release"], True, "rag")
    assert "mast.md" in {context["document"] for context in answer["contexts"]}


def test_a_pattern_that_is_only_tried_says_that_nobody_has_judged_it(run: Run, docs: Path) -> None:
    served = read(run("ingest", docs, "--json"))["release"]
    tried = run("ask", "How tall is the light mast?", "--pattern", "sequential")
    assert f", that is {served} by the pattern sequential, which nobody has judged" in tried.stdout
    assert read(run("ask", "How tall is the light mast?", "--pattern", "sequential", "--json"))["unproven"] is True
    refused = run("ask", "How tall is the light mast?", "--pattern", "routed")
    assert refused.exit_code == 2
    assert "routed asks what a model has learned" in refused.stderr


def test_an_empty_search_is_refused_as_an_empty_question_is(run: Run, docs: Path) -> None:
    run("ingest", docs)
    said = [run(command, "  ") for command in ("search", "ask")]
    assert [one.exit_code for one in said] == [2, 2]
    assert "nothing to search for" in said[0].stderr


def test_search_finds_the_page_that_says_it(run: Run, docs: Path) -> None:
    run("ingest", docs)
    found = read(run("search", "width of the band saw blade", "--json"))
    assert found["contexts"][0]["document"] == "saw.md"
    assert found["contexts"][0].keys() >= {"document", "chunk", "text", "score"}
    assert found["contexts"][0]["heading_path"] == ["Band saw", "Blade"]


def test_search_can_be_narrowed_to_documents_and_headings(run: Run, docs: Path) -> None:
    run("ingest", docs)
    search = ("search", "width of the band saw blade", "-k", 5, "--json")
    everything = {context["document"] for context in read(run(*search))["contexts"]}
    assert {"mast.md", "saw.md"} <= everything
    found = read(run(*search, "--document", "mast.*", "--document", "nothing.md"))["contexts"]
    assert {context["document"] for context in found} == {"mast.md"}
    assert read(run(*search, "--heading", "No such heading"))["contexts"] == []


def test_status_and_releases_tell_what_is_served(run: Run, docs: Path) -> None:
    assert read(run("status", "--json"))["release"] is None
    assert read(run("releases", "--json")) == {"releases": []}
    run("ingest", docs)
    status = read(run("status", "--json"))
    assert status["labels"] == {"accepted": 0, "new": 0, "threshold": 100}
    assert (status["snapshot"], status["documents"], status["quarantined"], status["verdict"]) == (1, 3, 0, None)
    assert [one["what"].split()[0] for one in status["last"]] == ["promote", "snapshot"]
    assert (status["snapshot_at"], status["retiring"]) == (status["last"][1]["at"], [])
    assert "published just now" in run("status").stdout
    (release,) = read(run("releases", "--json"))["releases"]
    assert (release["release"], release["state"]) == (status["release"], "current")
    assert {"release", "state", "snapshot", "model", "pattern", "created", "promoted"} <= release.keys()


def test_a_program_that_reads_json_gets_errors_as_json_too(run: Run, tmp_path: Path) -> None:
    result = run("ingest", tmp_path / "nowhere", "--json")
    assert result.exit_code == 2
    assert read(result)["error"]["code"] == "source_missing"
    assert "nowhere is not there" in result.stderr


@pytest.mark.parametrize(
    ("words", "status"),
    [(["ask", "anything?"], 2), (["rollback"], 2), (["promote", "r-nothing"], 2), (["ingest", "--no-such-flag"], 2)],
)
def test_what_cannot_be_done_is_said_in_one_line(run: Run, words: list[str], status: int) -> None:
    result = run(*words)
    assert result.exit_code == status
    assert result.stderr.strip()
    assert "Traceback" not in result.stderr


def test_what_is_not_read_and_what_holds_no_text_is_said(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "empty.md").write_text(" \n")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    said = run("ingest", folder).stdout
    assert "skipped    1 files of kinds that nothing here reads" in said
    assert "nothing to answer from" in said
    (folder / "full.md").write_text("# Pump\n\nThe pump moves 90 litres.\n")
    assert "nothing to answer from" not in run("ingest").stdout


def test_an_empty_directory_is_refused_by_name(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = run("ingest", tmp_path / "empty")
    assert result.exit_code == 2
    assert "There are no readable documents in" in result.stderr


def test_a_directory_of_all_sorts_is_ingested_and_what_is_unreadable_costs_only_itself(run: Run, docs: Path) -> None:
    from docx import Document

    word = Document()
    word.add_heading("Crane", 1)
    word.add_paragraph("The crane lifts 4 tonnes.")
    word.save(str(docs / "crane.docx"))
    (docs / "latin.txt").write_bytes("Die Prüfstraße öffnet um 7 Uhr. Größe: 12 m.".encode("latin-1"))
    (docs / "broken.docx").write_bytes(bytes(range(256)) * 64)
    (docs / "huge.txt").write_bytes(b"All work and no play. " * (50 * 2**20 // 22))
    (docs / "photo.png").write_bytes(b"\x89PNG")
    report = read(run("ingest", docs, "--json"))
    assert report["documents"] == {"added": 5, "changed": 0, "deleted": 0, "unchanged": 0, "quarantined": 2}
    assert [q["document"] for q in report["quarantine"]] == ["broken.docx", "huge.txt"]
    assert "50.0 MiB; the limit is" in report["quarantine"][1]["reason"]
    assert report["skipped"] == 1
    found = read(run("search", "Wann öffnet die Prüfstraße?", "--json"))
    assert "Prüfstraße" in found["contexts"][0]["text"]
    assert [q["document"] for q in read(run("ingest", docs, "--json"))["quarantine"]] == ["broken.docx", "huge.txt"]


def test_labels_are_imported_with_every_bad_line_named(run: Run, docs: Path, tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    good = {"question": "How tall is the light mast?", "answer": "It stands 9 metres tall.", "documents": ["mast.md"]}
    file.write_text("\n".join([json.dumps(good), "{not json", json.dumps({"question": "Only?"})]))
    report = read(run("labels", "import", file, "--json"))
    assert (report["accepted"], report["pending"], report["duplicates"]) == (1, 0, 0)
    assert [error["line"] for error in report["errors"]] == [2, 3]
    assert read(run("labels", "import", file, "--json"))["duplicates"] == 1


def test_training_below_the_threshold_says_how_many_labels_are_missing(run: Run, docs: Path) -> None:
    run("ingest", docs)
    report = read(run("train", "--json"))
    assert (report["trained"], report["model"], report["examples"]) == (False, None, 0)


def test_a_held_or_rejected_release_has_its_own_exit_status(run: Run, docs: Path, tmp_path: Path) -> None:
    run("ingest", docs)
    served = read(run("status", "--json"))["release"]
    file = tmp_path / "labels.jsonl"
    label = {
        "question": "How tall is the light mast?",
        "answer": "It stands 9 metres tall.",
        "documents": ["mast.md"],
    }
    file.write_text(json.dumps(label | {"split": "golden"}))
    run("labels", "import", file)
    result = run("evaluate", served, "--json")
    report = read(result)
    assert {"verdict", "release", "baseline", "questions", "gates", "report"} <= report.keys()
    assert result.exit_code == {"HOLD": 3, "REJECT": 4}[report["verdict"]]
    assert {"name", "outcome", "reason", "value", "bound", "n"} <= report["gates"][0].keys()
    assert Path(report["report"]).is_file()
    assert Path(report["report"]).with_name("report.html").is_file()
    assert run("promote", served).exit_code == result.exit_code
    again = run("recheck", report["report"], "--json")
    assert read(again) == {"verdict": report["verdict"], "identical": True, "differences": []}


def judge_one_label(run: Run, docs: Path, tmp_path: Path) -> str:
    """The release being served, with a golden set too small to decide anything."""
    run("ingest", docs)
    file = tmp_path / "labels.jsonl"
    answer = "It stands 9 metres tall."
    label = {"question": "How tall is the light mast?", "answer": answer, "documents": ["mast.md"]}
    file.write_text(json.dumps(label | {"split": "golden"}))
    run("labels", "import", file)
    return str(read(run("status", "--json"))["release"])


def test_an_evaluation_shows_what_stopped_it_and_all_of_it_when_asked(run: Run, docs: Path, tmp_path: Path) -> None:
    served = judge_one_label(run, docs, tmp_path)
    short, whole = run("evaluate", served).stdout, run("evaluate", served, "--all").stdout
    passed = "Snapshot, index and model are what was recorded."
    assert passed in whole
    assert passed not in short
    assert "--all shows every one" in short
    assert "--all shows every one" not in whole
    assert short.startswith(("HOLD  ", "REJECT  "))


def test_evidence_can_be_put_where_it_can_be_carried_from(run: Run, docs: Path, tmp_path: Path) -> None:
    served = judge_one_label(run, docs, tmp_path)
    report = read(run("evaluate", served, "--export", tmp_path / "evidence", "--json"))
    assert Path(report["report"]) == tmp_path / "evidence" / "report.md"
    for named in (tmp_path / "evidence", tmp_path / "evidence" / "report.html", report["evaluation"]):
        assert read(run("recheck", named, "--json"))["identical"] is True
    assert run("evaluate", served, "--export", tmp_path / "evidence").exit_code == 2


def test_a_hold_is_not_overridden_unless_the_policy_lets_somebody(run: Run, docs: Path, tmp_path: Path) -> None:
    served = judge_one_label(run, docs, tmp_path)
    verdict = read(run("evaluate", served, "--json"))["verdict"]
    refused = run("promote", served, "--override", "--who", "ann", "--reason", "I looked at it", "--json")
    assert refused.exit_code == {"HOLD": 3, "REJECT": 4}[verdict]
    assert read(refused)["error"]["code"] == "promotion_refused"
    assert read(run("status", "--json"))["unproven"] is True


def test_the_history_tells_who_moved_what_when_and_why(run: Run, docs: Path) -> None:
    assert read(run("history", "--json")) == {"history": []}
    assert run("history").stdout == "Nothing was ever promoted.\n"
    first = read(run("ingest", docs, "--json"))["release"]
    (docs / "saw.md").write_text("# Band saw\n\n## Blade\n\nThe blade of the band saw is 99 millimetres wide.\n")
    second = read(run("ingest", "--json"))["release"]
    assert f"ratchet rollback --to {second}" in run("rollback", "--who", "ann", "--reason", "a bad edit").stdout
    back, then, before = read(run("history", "--json"))["history"]
    assert (back["kind"], back["release"], back["previous"]) == ("rollback", first, second)
    assert (back["who"], back["reason"], back["at"][:2]) == ("ann", "a bad edit", "20")
    assert (then["release"], then["previous"], then["kind"], then["unproven"]) == (second, first, "promote", True)
    assert (before["release"], before["previous"], before["evaluation"]) == (first, None, None)
    assert (before["overridden"], before["approved_by"]) == ([], None)
    assert f"rolled back to {first} instead of {second}, by ann" in run("history").stdout


def test_only_a_proven_release_can_be_made_the_anchor(run: Run, docs: Path) -> None:
    assert read(run("anchor", "--json")) == {"anchor": None, "history": []}
    release = read(run("ingest", docs, "--json"))["release"]
    assert read(run("status", "--json"))["anchor"] is None
    refused = run("anchor", release, "--who", "ann", "--reason", "the new handbook")
    assert refused.exit_code == 2
    assert f"{release} cannot be the anchor: it was never judged." in refused.stderr
    assert read(run("anchor", "--json"))["anchor"] is None


def test_the_anchor_is_shown_with_its_history(run: Run, docs: Path) -> None:
    release = read(run("ingest", docs, "--json"))["release"]
    open_workbench("default").evaluations.record(
        "default", Evaluation("sha256-1", release, None, "g-1", "PROMOTE", 40, ())
    )
    assert "--reason TEXT" in run("anchor", release).stderr
    for reason in ("a new start", "and again"):
        assert read(run("anchor", release, "--who", "ann", "--reason", reason, "--json"))["anchor"] == release
    shown = run("anchor").stdout.splitlines()
    assert [line.partition(" UTC, by ")[2] for line in shown] == ["ann: and again", "ann: a new start"]
    assert read(run("status", "--json"))["anchor"] == release


@pytest.mark.parametrize(
    "words",
    [
        *(["--help"], ["status", "--json"], ["rollback"], ["history"], ["anchor"], ["models"]),
        *(["labels", "status"], ["labels", "review"], ["labels", "import", "nowhere.jsonl"]),
    ],
)
def test_quick_commands_import_neither_torch_nor_prefect(words: list[str]) -> None:
    code = (
        "import sys; from flows.cli import ratchet; ratchet(sys.argv[1:], standalone_mode=False)\n"
        "heavy = {'torch', 'transformers', 'prefect', 'unstructured'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    wrapped = code.replace("ratchet(sys.argv[1:], standalone_mode=False)", "exec(RUN)").replace(
        "import sys;", "import sys; RUN = 'try:\\n ratchet(sys.argv[1:])\\nexcept SystemExit:\\n pass';"
    )
    done = subprocess.run([sys.executable, "-c", wrapped, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_was_rolled_back_stays_so_until_the_documents_change(run: Run, docs: Path) -> None:
    first = read(run("ingest", docs, "--json"))["release"]
    (docs / "saw.md").write_text("# Band saw\n\n## Blade\n\nThe blade of the band saw is 99 millimetres wide.\n")
    second = read(run("ingest", "--json"))["release"]
    run("rollback", "--reason", "a bad edit")
    again = run("ingest")
    assert f"{second} was rolled back and stays so" in again.stdout
    assert read(run("status", "--json"))["release"] == first
    (docs / "saw.md").write_text("# Band saw\n\n## Blade\n\nThe blade of the band saw is 31 millimetres wide.\n")
    assert read(run("ingest", "--json"))["release"] not in (None, first, second)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("RATCHET_WEAVIATE_ULR", "http://localhost:8080", "no setting RATCHET_WEAVIATE_ULR"),
        ("RATCHET_DATABASE_URL", "foo://x", "RATCHET_DATABASE_URL"),
        ("RATCHET_DATABASE_URL", "nonsense", "RATCHET_DATABASE_URL"),
    ],
)
def test_a_wrong_setting_is_named(run: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str) -> None:
    monkeypatch.setenv(name, value)
    result = run("status")
    assert result.exit_code == 2
    assert says in result.stderr


def test_a_settings_file_that_is_broken_is_named(run: Run) -> None:
    Path("ratchet.toml").write_text("home = ")
    result = run("status")
    assert result.exit_code == 2
    assert "ratchet.toml cannot be read" in result.stderr
