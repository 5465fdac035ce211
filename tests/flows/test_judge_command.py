"""`ratchet judge` as a person or a program uses it, and a judge from the first import to the gate it decides."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from command_line import Run, read
from openai_chat_fake import ChatServer, Fault, chat_server
from openai_embeddings_fake import KEY

from infra.settings import load_settings
from infra.workbench import open_workbench
from tasks.core.errors import BadSetting
from tasks.core.judging import agreement_of

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server() as running:
        yield running


def row(n: int, **changes: Any) -> dict[str, Any]:
    """Somebody's judgement of whether the passages held what the ideal answer says: every second time they did."""
    shown = f"Winch {n} lifts 4 tonnes." if n % 2 else "Use grade 46 oil."
    said = {"metric": "context_recall", "question": f"What does winch {n} lift?", "ideal": f"Winch {n} lifts 4 tonnes."}
    return said | {"contexts": [shown], "value": n % 2, "who": "Ann"} | changes


def file_of(folder: Path, *rows: dict[str, Any] | str | bytes) -> Path:
    file = folder / "judged.jsonl"
    lines = [json.dumps(line) if isinstance(line, dict) else line for line in rows]
    file.write_bytes(b"\n".join(line.encode() if isinstance(line, str) else line for line in lines))
    return file


def set_judge(url: str = "http://127.0.0.1:9/v1", floors: str = "recall = 0.5") -> None:
    Path("ratchet.toml").write_text(
        f"""
        [policy]
        resamples = 1000
        [policy.pace]
        questions = 0
        [policy.floors]
        {floors}
        [policy.judge]
        model = "judge-mini"
        base_url = "{url}"
        """
    )


# ── importing ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_judgements_are_imported_with_every_bad_line_named(run: Run, tmp_path: Path) -> None:
    file = file_of(tmp_path, row(1), "{not json", row(2, value=7), "größer".encode("latin-1"), row(3))
    result = run("judge", "import", file, "--json")
    report = read(result)
    assert (result.exit_code, report["new"], report["changed"], report["known"]) == (0, 2, 0, 0)
    assert [error["line"] for error in report["errors"]] == [2, 3, 4]
    shown = run("judge", "import", file_of(tmp_path, row(1), row(3, value=0), "[]")).stdout.splitlines()
    assert shown[0] == "0 new, 1 changed, 1 known already, 1 refused"
    assert shown[1].startswith("  line 3: is not a JSON object")


def test_a_file_of_bad_lines_alone_is_a_failure(run: Run, tmp_path: Path) -> None:
    result = run("judge", "import", file_of(tmp_path, "{not json", row(1, value="much")), "--json")
    assert result.exit_code == 1
    assert [error["line"] for error in read(result)["errors"]] == [1, 2]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "holds no judgement"),
        (b"\n\n  \n", "holds no judgement"),
        (json.dumps(row(1)).encode("utf-16"), "is UTF-16, not UTF-8"),
    ],
)
def test_a_file_that_is_none_is_refused_by_name(run: Run, tmp_path: Path, content: bytes, says: str) -> None:
    result = run("judge", "import", file_of(tmp_path, content), "--json")
    assert result.exit_code == 2
    assert read(result)["error"]["code"] == "bad_setting"
    assert f"judged.jsonl {says}" in result.stderr


def test_a_missing_file_and_a_folder_are_refused_by_name(run: Run, tmp_path: Path) -> None:
    missing = run("judge", "import", tmp_path / "nowhere.jsonl", "--json")
    assert (missing.exit_code, read(missing)["error"]["code"]) == (2, "source_missing")
    assert "There is no file" in missing.stderr
    assert (run("judge", "import", tmp_path).exit_code, run("judge", "import").exit_code) == (2, 2)


def test_what_comes_next_depends_on_whether_there_is_a_judge(run: Run, tmp_path: Path) -> None:
    assert "Add [policy.judge]" in run("judge", "import", file_of(tmp_path, row(1))).stdout
    set_judge()
    assert "ratchet evaluate" in run("judge", "import", file_of(tmp_path, row(2))).stdout
    assert "ratchet evaluate" not in run("judge", "import", file_of(tmp_path, row(2))).stdout


# ── status ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_a_judge_the_status_says_where_one_is_named(run: Run) -> None:
    assert read(run("judge", "status", "--json")) == {"judge": None, "metrics": []}
    assert "Add [policy.judge] to ratchet.toml" in run("judge", "status").stdout


def test_a_judge_that_nobody_was_compared_with_decides_nothing(run: Run) -> None:
    set_judge()
    status = read(run("judge", "status", "--json"))
    assert status["judge"] == "judge-mini"
    assert [metric["metric"] for metric in status["metrics"]] == [
        "judged_faithfulness",
        "judged_relevancy",
        "judged_context_precision",
        "judged_context_recall",
    ]
    for metric in status["metrics"]:
        assert (metric["people"], metric["both"], metric["kappa"], metric["lower"]) == (0, 0, None, None)
        assert (metric["decides"], "it takes 30" in metric["doubt"]) == (False, True)


def test_judgements_that_the_judge_was_not_asked_about_are_counted_and_said(run: Run, tmp_path: Path) -> None:
    set_judge()
    run("judge", "import", file_of(tmp_path, *map(row, range(40))))
    recall = read(run("judge", "status", "--json"))["metrics"][3]
    assert (recall["people"], recall["both"], recall["decides"]) == (40, 0, False)
    assert "was not asked about 40 of them yet" in recall["doubt"]


def test_status_needs_no_key_and_no_price(run: Run) -> None:
    Path("ratchet.toml").write_text('[policy.judge]\nmodel = "gpt-5-mini"\n')
    assert read(run("judge", "status", "--json"))["judge"] == "gpt-5-mini"


@pytest.mark.parametrize("words", [["judge", "--help"], ["judge", "status"]])
def test_the_commands_about_judges_import_neither_torch_nor_prefect(words: list[str]) -> None:
    set_judge()
    code = (
        "import sys\n"
        "from flows.cli import ratchet\n"
        "ratchet(sys.argv[1:], standalone_mode=False) if '--help' in sys.argv else None\n"
        "try:\n    ratchet(sys.argv[1:])\n"
        "except SystemExit as done:\n    assert not done.code\n"
        "heavy = {'torch', 'transformers', 'prefect', 'unstructured', 'openai'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# ── deciding ─────────────────────────────────────────────────────────────────────────────────────────────────────────

PUMPS = 10


@pytest.fixture
def candidate(run: Run, tmp_path: Path) -> str:
    """A release whose search finds the right page for each golden question."""
    docs = tmp_path / "pumps"
    docs.mkdir()
    labels = []
    for n in range(PUMPS):
        said = f"Pump {n} moves {n + 40} litres of water."
        (docs / f"pump-{n}.md").write_text(f"# Pump {n}\n\n{said}\n")
        labels.append({"question": f"How much does pump {n} move?", "answer": said, "documents": [f"pump-{n}.md"]})
    release = read(run("ingest", docs, "--json"))["release"]
    file = tmp_path / "labels.jsonl"
    file.write_text("\n".join(json.dumps(label | {"split": "golden"}) for label in labels))
    assert read(run("labels", "import", file, "--json"))["accepted"] == PUMPS
    return str(release)


def floor_of(result: Result) -> dict[str, Any]:
    return next(gate for gate in read(result)["gates"] if gate["name"] == "floor-judged-context-recall")


def evaluate(run: Run, release: str) -> Result:
    return run("evaluate", release, "--json")


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATCHET_JUDGE_API_KEY", KEY)


@pytest.mark.usefixtures("key")
def test_a_judge_decides_once_enough_people_agree_and_no_longer_when_they_do_not(
    run: Run, server: ChatServer, candidate: str, tmp_path: Path
) -> None:
    set_judge(server.url, "judged_context_recall = 0.5")
    result = evaluate(run, candidate)
    assert (floor_of(result)["outcome"], floor_of(result)["value"], floor_of(result)["n"]) == ("reported", 1.0, PUMPS)
    assert read(run("recheck", read(result)["report"], "--json"))["identical"] is True

    run("judge", "import", file_of(tmp_path, *map(row, range(40))))
    before = len(server.requests)
    result = evaluate(run, candidate)
    assert len(server.requests) - before == 40  # only what people judged is new
    assert (floor_of(result)["outcome"], floor_of(result)["value"]) == ("pass", 1.0)
    recall = read(run("judge", "status", "--json"))["metrics"][3]
    assert (recall["people"], recall["both"], recall["kappa"], recall["decides"]) == (40, 40, 1.0, True)
    assert "decides" in run("judge", "status").stdout.splitlines()[-1]
    assert len(server.requests) - before == 40  # neither recheck nor status asks

    run("judge", "import", file_of(tmp_path, *(row(n, value=(n + n // 20) % 2) for n in range(40))))
    result = evaluate(run, candidate)
    assert floor_of(result)["outcome"] == "reported"
    assert "it may decide from 0.60 on" in floor_of(result)["reason"]
    assert read(run("judge", "status", "--json"))["metrics"][3]["kappa"] == 0.0  # 20 of 40 differ
    assert len(server.requests) - before == 40
    assert read(run("recheck", read(result)["report"], "--json"))["identical"] is True


@pytest.mark.usefixtures("key")
def test_an_evaluation_outlives_a_judge_that_is_down(run: Run, server: ChatServer, candidate: str) -> None:
    set_judge(server.url, "judged_context_recall = 0.5")
    server.faults = [Fault(429, headers={"retry-after": "9999"})] * 99
    result = evaluate(run, candidate)
    assert result.exit_code in (0, 3, 4)
    assert floor_of(result)["n"] == 0
    evidence = json.loads(Path(read(result)["report"]).with_name("evidence.json").read_text())
    assert "cannot be used now" in evidence["given"]["judged"]["unfinished"]
    server.faults = []
    assert floor_of(evaluate(run, candidate))["n"] == PUMPS


def test_a_judge_at_openai_without_a_key_or_a_price_is_refused_before_minutes_of_answering(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    Path("ratchet.toml").write_text('[policy.judge]\nmodel = "gpt-5-mini"\n')
    with pytest.raises(BadSetting, match="budget_usd would stop nothing"):
        _ = open_workbench("default").evaluation
    prices = "usd_per_million_prompt_tokens = 0.25\nusd_per_million_completion_tokens = 2.0\n"
    Path("ratchet.toml").write_text(f'[policy.judge]\nmodel = "gpt-5-mini"\n{prices}')
    with pytest.raises(BadSetting, match="RATCHET_JUDGE_API_KEY"):
        _ = open_workbench("default").evaluation


# ── what the documentation says ──────────────────────────────────────────────────────────────────────────────────────

DOCS = (Path(__file__).parents[2] / "docs" / "judges.md").read_text()


def test_every_line_in_the_documentation_can_be_imported(run: Run, tmp_path: Path) -> None:
    lines = DOCS.split("```json\n")[1].split("```")[0].strip().splitlines()
    assert len(lines) == 3
    report = read(run("judge", "import", file_of(tmp_path, *lines), "--json"))
    assert (report["new"], report["errors"]) == (3, [])


def test_every_field_of_a_line_is_in_the_documentation() -> None:
    table = DOCS.split("ratchet judge import FILE.jsonl")[1].split("```json")[0]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == [
        "metric",
        "question",
        "answer",
        "contexts",
        "ideal",
        "value",
        "who",
    ]


def test_the_policy_in_the_documentation_can_be_read() -> None:
    Path("ratchet.toml").write_text(DOCS.split("```toml\n")[1].split("```")[0])
    judge = load_settings().policy.judge
    assert judge is not None
    assert (judge.model, judge.budget_usd, judge.least_human_labels) == ("gpt-5-mini", 2.0, 30)


@pytest.mark.parametrize(("apart", "answers"), [(0, 30), (1 / 20, 30), (1 / 10, 42), (3 / 20, 162)])
def test_the_documentation_says_how_many_answers_make_a_judge_trusted(apart: float, answers: int) -> None:
    """Half of the answers are good, and judge and people differ on a share of them."""

    def trusted(n: int) -> bool:
        same = round(n * (1 - apart))
        found = agreement_of([(float(i % 2), float(i % 2 if i < same else 1 - i % 2)) for i in range(n)], alpha=0.05)
        return found is not None and found.lower >= 0.6

    assert next(n for n in range(30, 1_000, 2) if trusted(n)) == answers
    assert str(answers) in DOCS.split("How many it takes")[1].split("\n\n")[0]
