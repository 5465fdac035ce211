"""Labels and models on the command line."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Run, read
from source_places import BUCKET, S3Place, S3Server, s3_server
from sqlalchemy import event

from flows.label_commands import show_label_review
from infra.adapters.catalog.feedback import CatalogFeedback
from infra.workbench import open_workbench
from tasks.core.feedback import Feedback, Response
from tasks.preferences import enough_opinions
from tasks.training import decide

pytestmark = pytest.mark.usefixtures("home")


def lines(*rows: dict[str, object]) -> str:
    return "\n".join(json.dumps(row) for row in rows)


MAST = {"question": "How tall is the light mast?", "answer": "It stands 9 metres tall.", "documents": ["mast.md"]}
PUMP = {"question": "How much water does the bilge pump move?", "answer": "90 litres.", "documents": ["pump.md"]}


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


def test_labels_are_imported_from_s3(run: Run, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    S3Place(s3.emptied()).write("labels/day.jsonl", (lines(MAST, PUMP) + "\n{broken").encode())
    monkeypatch.setenv("RATCHET_S3_ENDPOINT_URL", s3.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test-secret")
    report = read(run("labels", "import", f"s3://{BUCKET}/labels/day.jsonl", "--json"))
    assert (report["accepted"], [error["line"] for error in report["errors"]]) == (2, [3])
    assert read(run("labels", "import", f"s3://{BUCKET}/labels/day.jsonl", "--json"))["duplicates"] == 2
    missing = run("labels", "import", f"s3://{BUCKET}/labels/no.jsonl", "--json")
    assert (missing.exit_code, read(missing)["error"]["code"]) == (2, "source_missing")


def test_a_folder_is_imported_and_each_bad_line_is_named_with_its_file(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    folder.mkdir()
    (folder / "a.jsonl").write_text(lines(MAST) + "\n{")
    (folder / "b.jsonl").write_text(lines(MAST, PUMP))
    report = read(run("labels", "import", folder, "--json"))
    assert (report["accepted"], report["duplicates"]) == (2, 1)
    assert [(Path(error["file"]).name, error["line"]) for error in report["errors"]] == [("a.jsonl", 2)]


def test_a_few_golden_labels_say_that_documents_wait_now_and_for_what(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_text(lines(MAST | {"split": "golden"}, PUMP | {"split": "train", "documents": ["nothere.md"]}))
    said = run("labels", "import", file).stdout
    assert "With 1 golden question new documents wait for a verdict, which takes 10 at least" in said
    assert "In no source so far, so nothing is learned about it: mast.md, nothere.md" in said
    assert "With 1 golden question new documents wait" in run("labels", "status").stdout


def test_preferences_and_ratings_are_counted_and_reviewed(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "opinions.jsonl"
    better = {"question": "How hot?", "chosen": "60 °C.", "rejected": "70 °C."}
    worse = {"question": "How hot?", "chosen": "70 °C.", "rejected": "60 °C."}
    file.write_text(lines(better, worse, {"prompt": "How hot?", "completion": "60 °C.", "label": True}))
    assert read(run("labels", "import", file, "--json"))["pending"] == 1
    status = read(run("labels", "status", "--json"))
    assert (status["preferences"], status["ratings"], status["opinions_pending"]) == (1, 1, 1)
    [waiting] = read(run("labels", "review", "--json"))["opinions"]
    assert "rather: 70 °C." in run("labels", "review").stdout
    assert read(run("labels", "review", "--accept", waiting["id"], "--json"))["opinions"] == []
    assert read(run("labels", "status", "--json"))["preferences"] == 2
    assert run("labels", "review", "--reject", "p-none").exit_code == 2


def test_labels_that_are_too_few_to_be_split_are_not_passed_over_in_silence(run: Run, tmp_path: Path) -> None:
    rows = [
        {"question": "How tall is the mast?", "answer": "9 metres.", "documents": ["mast.md"]},
        {"question": "How wide is the saw?", "chosen": "27 mm.", "rejected": "No idea.", "documents": ["saw.md"]},
    ]
    (tmp_path / "few.jsonl").write_text("\n".join(map(json.dumps, rows)))
    waits = "1 accepted one waits for its split"
    assert waits in run("labels", "import", tmp_path / "few.jsonl").stdout
    assert waits in run("labels", "status").stdout
    assert read(run("labels", "status", "--json"))["unassigned"] == 1
    opened = open_workbench("default")
    assert waits in decide(opened.training).reason
    assert waits in enough_opinions(opened.training, "dpo", 50).reason
    assert waits not in enough_opinions(opened.training, "kto", 50).reason


def test_a_review_says_what_it_decided_and_what_that_took_out(run: Run, tmp_path: Path) -> None:
    (tmp_path / "two.jsonl").write_text(lines(MAST, MAST | {"answer": "It stands 12 metres tall."}))
    run("labels", "import", tmp_path / "two.jsonl")
    [waiting] = read(run("labels", "review", "--json"))["pending"]
    said = run("labels", "review", "--accept", waiting["id"]).stdout.splitlines()
    assert [line.split()[0] for line in said] == ["accepted", "rejected"]
    assert waiting["id"] in said[0]
    assert said[0].endswith(MAST["question"])
    back = read(run("labels", "review", "--reject", waiting["id"], "--json"))
    assert back["decided"] == [{"id": waiting["id"], "state": "rejected"}]


def test_feedback_waits_for_review_with_who_said_it(run: Run) -> None:
    desk = CatalogFeedback(open_workbench("default").engine)
    desk.remember(Response("chatcmpl-1", "default", "r-1", 1, "rag", "How hot?", "60 °C. [1]", ("a.md",)))
    label = desk.take(Feedback("chatcmpl-1", "demonstration", "90 °C.", "ann")).became
    desk.take(Feedback("chatcmpl-1", "boolean", False, "bob"))
    shown = read(run("labels", "review", "--json"))
    assert [(x["id"], x["reason"]) for x in shown["pending"]] == [
        (label, "ann wrote this instead of the answer of release r-1")
    ]
    assert [(x["value"], x["contributor"]) for x in shown["opinions"]] == [(0.0, "bob")]
    run("labels", "review", "--accept", label, "--accept", shown["opinions"][0]["id"])
    status = read(run("labels", "status", "--json"))
    assert (status["accepted"], status["ratings"], status["pending"]) == (1, 1, 0)


def test_comments_are_seen_where_the_reviewer_decides_and_wait_until_they_were(run: Run) -> None:
    desk = CatalogFeedback(open_workbench("default").engine, keep=2)
    for name in ("rated", "alone"):
        desk.remember(Response(f"chatcmpl-{name}", "default", "r-1", 1, "rag", f"How {name}?", "Very. [1]", ("a.md",)))
    desk.take(Feedback("chatcmpl-rated", "comment", "The pump\nis wrong.", "ann"))
    rating = desk.take(Feedback("chatcmpl-rated", "boolean", False, "ann")).became
    label = desk.take(Feedback("chatcmpl-rated", "demonstration", "Not at all.", "bob")).became
    alone = desk.take(Feedback("chatcmpl-alone", "comment", "Nobody asked.", "cyd")).id
    for n in range(3):  # the answer with the unread comment is not forgotten
        desk.remember(Response(f"chatcmpl-{n}", "default", "r-1", 1, "rag", "Q?", "A.", ()))

    seen = run("labels", "review").stdout
    assert seen.count("comment by ann: The pump is wrong.") == 2  # beside her thumb, and beside bob's answer
    assert f"{alone}  How alone?" in seen
    assert "comment by cyd: Nobody asked." in seen
    shown = read(run("labels", "review", "--json"))
    [said] = shown["opinions"][0]["comments"]
    assert (said["contributor"], said["text"], shown["pending"][0]["comments"]) == (
        "ann",
        "The pump\nis wrong.",
        [said],
    )
    assert [(x["id"], x["question"], x["release"]) for x in shown["comments"]] == [(alone, "How alone?", "r-1")]

    decided = read(run("labels", "review", "--reject", rating, "--json"))
    assert (decided["read"], decided["pending"][0]["comments"]) == ([said], [said])  # bob's answer still waits
    assert run("labels", "review", "--accept", alone).exit_code == 2
    rest = read(run("labels", "review", "--accept", label, "--reject", alone, "--json"))
    accepted = [{"id": label, "state": "accepted"}]
    assert rest == {"pending": [], "opinions": [], "comments": [], "read": [], "decided": accepted}
    late = desk.take(Feedback("chatcmpl-alone", "comment", "And another.", "cyd")).id
    assert [x["id"] for x in read(run("labels", "review", "--json"))["comments"]] == [late]
    assert run("labels", "review", "--reject", "f-none").exit_code == 2


def test_a_comment_is_still_shown_when_the_command_that_decided_beside_it_failed_later(run: Run) -> None:
    desk = CatalogFeedback(open_workbench("default").engine)
    desk.remember(Response("chatcmpl-1", "default", "r-1", 1, "rag", "How hot?", "60 °C. [1]", ("a.md",)))
    said = desk.take(Feedback("chatcmpl-1", "comment", "Far off.", "ann")).id
    rating = desk.take(Feedback("chatcmpl-1", "boolean", False, "ann")).became
    assert run("labels", "review", "--accept", rating, "--accept", "l-typo").exit_code == 2
    shown = read(run("labels", "review", "--json"))
    assert (shown["opinions"], [x["id"] for x in shown["comments"]]) == ([], [said])
    assert run("labels", "review", "--reject", said, "--reject", "f-none").exit_code == 2
    assert [x["id"] for x in read(run("labels", "review", "--json"))["comments"]] == [said]  # both or neither


def test_comments_are_read_as_often_for_twenty_decisions_as_for_one(run: Run) -> None:
    bench = open_workbench("default")
    desk, asked = CatalogFeedback(bench.engine), 0
    ratings = []
    for n in range(21):
        desk.remember(Response(f"chatcmpl-{n}", "default", "r-1", 1, "rag", f"How {n}?", "Very. [1]", ("a.md",)))
        desk.take(Feedback(f"chatcmpl-{n}", "comment", "No.", "ann"))
        ratings.append(str(desk.take(Feedback(f"chatcmpl-{n}", "boolean", False, "ann")).became))

    def count(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        nonlocal asked
        asked += "feedback" in statement

    event.listen(bench.engine, "before_cursor_execute", count)
    show_label_review(bench, (), tuple(ratings[:1]))
    once, asked = asked, 0
    assert len(show_label_review(bench, (), tuple(ratings[1:])).data["read"]) == 20
    assert asked == once


def test_what_a_stranger_wrote_does_not_command_the_reviewers_terminal(run: Run) -> None:
    desk = CatalogFeedback(open_workbench("default").engine)
    desk.remember(Response("chatcmpl-1", "default", "r-1", 1, "rag", "How hot?", "60 °C.", ()))
    desk.take(Feedback("chatcmpl-1", "comment", "See \x1b]0;owned\x07 this.", "ann"))
    assert "comment by ann: See \ufffd]0;owned\ufffd this." in run("labels", "review").stdout


def test_what_came_with_an_imported_rating_is_shown_in_its_review(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "ratings.jsonl"
    rated = {"prompt": "How hot?", "completion": "60 °C.", "label": False, "comment": "Far off.", "contributor": "ann"}
    file.write_text(lines(MAST | {"documents": ["a.md"], "contributor": "ann"}, rated))
    run("labels", "import", file)
    desk = CatalogFeedback(open_workbench("default").engine)
    desk.remember(Response("chatcmpl-1", "default", "r-1", 1, "rag", "How hot?", "60 °C.", ()))
    desk.take(Feedback("chatcmpl-1", "boolean", True, "ann"))  # anew: reviewed again
    assert "comment by ann: Far off." in run("labels", "review").stdout


def test_what_is_set_is_collected(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_text(lines(MAST))
    monkeypatch.setenv("RATCHET_LABEL_SOURCES", json.dumps([str(file)]))
    report = read(run("labels", "collect", "--json"))
    assert [(x["name"], x["accepted"]) for x in report["files"]] == [(str(file), 1)]
    assert report["told"] == []


@pytest.mark.long
def test_models_are_listed_with_their_releases_and_the_rows_of_one_come_out_by_its_hash(
    run: Run, docs: Path, tmp_path: Path
) -> None:
    assert run("models").stdout.startswith("No models yet")
    run("ingest", docs)
    labels = tmp_path / "labels.jsonl"
    labels.write_text(lines(MAST | {"split": "train"}, PUMP | {"split": "train"}))
    run("labels", "import", labels)
    trained = read(run("train", "--force", "--json"))
    adapter, base = read(run("models", "--json"))["models"]
    assert (adapter["model"], adapter["kind"], adapter["state"]) == (trained["model"], "lora", "candidate")
    assert adapter["releases"] == {trained["release"]: "candidate"}
    assert (adapter["lineage"]["labels"], adapter["lineage"]["snapshot"]) == (2, 1)
    assert f"{adapter['lineage']['metrics']['forgetting_nats_per_token']:+.3f} nats/token" in run("models").stdout
    assert (base["kind"], base["state"], base["lineage"]) == ("base", "current", None)
    out = tmp_path / "rows.jsonl"
    exported = read(run("labels", "export", "--model", trained["model"], out, "--json"))
    assert exported["rows"] == trained["examples"]
    assert hashlib.sha256(out.read_bytes()).hexdigest() == exported["dataset"] == adapter["lineage"]["dataset"]
    again = tmp_path / "again.jsonl"
    run("labels", "export", "--dataset", exported["dataset"][:12], again)
    assert again.read_bytes() == out.read_bytes()
    for words in (["--model", "sha256-none"], ["--dataset", "ffff"], []):
        assert run("labels", "export", *words, tmp_path / "nothing.jsonl").exit_code == 2
    assert not (tmp_path / "nothing.jsonl").exists()
