"""Training at a vendor from labels to answers: the command line and the flow, over real HTTP to a fake vendor."""

from __future__ import annotations

import asyncio
import json
from datetime import date
from pathlib import Path

import pytest
from command_line import Run, read
from hosted_world import rows
from openai_hosted_fake import HostedServer

from flows.hosted_jobs import retirements
from flows.reingest_docs import ReingestRequest, reingest
from flows.retrain_model import RetrainReport, RetrainRequest, retrain, retrain_model
from infra.adapters.catalog.retention import CatalogRetention
from infra.workbench import Workbench, open_workbench
from tasks.core.releases import ModelRef, SnapshotRef
from tasks.labels import import_labels
from tasks.training import Lineage, decide
from tasks.training_choice import choose_where

pytestmark = [pytest.mark.usefixtures("home", "server"), pytest.mark.xdist_group("prefect")]
PUMPS = range(2, 10)


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """A handbook of pumps, and a training label about each."""
    docs = tmp_path / "pumps"
    docs.mkdir()
    rows = []
    for n in PUMPS:
        (docs / f"pump-{n}.md").write_text(f"# Pump {n}\n\nPump {n} runs at up to {n}0 bar.\n")
        row = {"question": f"At how many bar does pump {n} run?", "answer": f"Pump {n} runs at up to {n}0 bar."}
        rows.append(row | {"documents": [f"pump-{n}.md"], "split": "train"})
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, rows)))
    ingested(path=str(docs))
    import_labels(bench().labels, tmp_path / "labels.jsonl")
    return docs


def bench() -> Workbench:
    return open_workbench("default")


def ingested(**asked: str) -> None:
    opened = bench()
    asyncio.run(reingest(opened, ReingestRequest(**asked)))  # type: ignore[arg-type]
    opened.close()  # its parser is a process of its own


def trained() -> RetrainReport:
    """The flow's own function, outside a flow run."""
    return asyncio.run(retrain(bench(), RetrainRequest(method="openai", force=True, evaluate=False)))


@pytest.mark.usefixtures("prefect_server")
def test_labels_become_a_hosted_model_that_answers_with_citations(
    server: HostedServer, run: Run, labelled: Path
) -> None:
    trained = read(run("train", "--method", "openai", "--force", "--json"))
    [made] = server.vendor.made
    assert (trained["model"], trained["method"]) == (server.vendor.model_of(made), "openai")
    assert trained["examples"] >= 10
    release = bench().releases.release("default", trained["release"]).manifest
    assert (release.model.kind, release.pattern) == ("hosted", "sequential")
    answer = read(run("ask", "At how many bar does pump 7 run?", "--release", trained["release"], "--json"))
    assert answer["answer"].startswith("Pump 7 runs at up to 70 bar.")
    assert [one["document"] for one in answer["citations"]] == ["pump-7.md"]
    assert server.sent("POST", "/chat/completions")[-1]["model"] == trained["model"]


def test_a_vendor_that_is_not_set_up_is_told_in_one_error_before_rows_are_rendered(
    server: HostedServer, run: Run, labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in server.settings:
        monkeypatch.delenv(name)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    rendered: list[str] = []
    monkeypatch.setattr("tasks.training.training_rows", lambda *_: rendered.append("rows") or ())
    refused = run("train", "--method", "openai", "--force")
    assert refused.exit_code == 2
    assert "needs 4 more settings:\n  RATCHET_HOSTED_BASE_MODEL: " in refused.stderr
    assert rendered == []


def test_what_was_uploaded_is_what_is_served(server: HostedServer, run: Run, labelled: Path) -> None:
    release = trained().release
    assert release is not None
    uploaded = [json.loads(line)["messages"] for line in server.vendor.files["file-1"].content.splitlines()]
    run("ask", "At how many bar does pump 7 run?", "--release", release.id, "--json")
    system, asked = server.sent("POST", "/chat/completions")[-1]["messages"]
    assert {example[0]["content"] for example in uploaded} == {system["content"]}
    question = asked["content"].splitlines()[-1]
    ours = [example[1]["content"] for example in uploaded if example[1]["content"].endswith(question)]
    assert len(ours) > 0
    assert all("[1] Pump" in content for content in ours)


def test_training_again_on_the_same_labels_pays_nothing(server: HostedServer, labelled: Path) -> None:
    first, again = trained(), trained()
    assert first.training is not None
    assert again.training is not None
    assert (again.training.model, again.release) == (first.training.model, first.release)
    assert again.training.seconds == 0.0
    assert len(server.vendor.made) == 1


def test_a_hosted_model_remembers_what_it_learnt_from(labelled: Path) -> None:
    report = trained()
    assert report.training is not None
    learnt = bench().trainings.trained_on("default", report.training.model.ref)
    assert learnt == frozenset(report.training.model.lineage.label_ids)
    assert len(learnt) == len(PUMPS)
    assert decide(bench().training).new == 0


@pytest.mark.usefixtures("prefect_server")
def test_a_failed_job_consumes_no_label_and_exits_with_its_error(
    server: HostedServer, run: Run, labelled: Path
) -> None:
    server.vendor.ends = "invalid"
    failed = run("train", "--method", "openai", "--force", "--json")
    assert failed.exit_code == 1
    assert read(failed)["error"]["code"] == "hosted_job_failed"
    assert read(run("labels", "status", "--json"))["new"] == len(PUMPS)
    server.vendor.ends = "succeeded"
    assert read(run("train", "--method", "openai", "--force", "--json"))["trained"]
    assert [job["attempt"] for job in read(run("hosted", "jobs", "--json"))["jobs"]] == [2]


def test_over_the_budget_the_command_fails_and_nothing_is_sent(
    server: HostedServer, run: Run, labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATCHET_HOSTED_BUDGET_USD", "0.001")
    failed = run("train", "--method", "openai", "--force", "--json")
    assert (failed.exit_code, read(failed)["error"]["code"]) == (1, "budget_exceeded")
    assert server.vendor.calls == []


@pytest.mark.usefixtures("prefect_server")
async def test_the_flow_tells_the_vendors_events_in_its_log(
    server: HostedServer, labelled: Path, caplog: pytest.LogCaptureFixture
) -> None:
    report = await retrain_model(RetrainRequest(method="openai", force=True, evaluate=False))
    assert report.choice is not None
    assert report.choice.method == "openai"
    said = [record.getMessage() for record in caplog.records]
    [why] = [text for text in said if text.startswith("Hosted: asked for. A new job costs at most ")]
    assert "at $3.00 per million, as RATCHET_HOSTED_USD_PER_MILLION_TOKENS says." in why
    assert "hosted training: Step 4/4: training loss=0.50" in said


def test_auto_says_why_it_does_not_go_to_the_vendor(server: HostedServer, labelled: Path) -> None:
    choice = choose_where(bench().choice, "auto", rows(20))
    assert (choice.method, server.vendor.made) == ("lora", [])
    assert "how long 20 rows train here is not known yet" in choice.reason


def test_a_hosted_model_that_was_made_here_raises_the_alarm_before_it_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RATCHET_HOSTED_BASE_URL")  # at OpenAI
    opened, model = bench(), "ft:gpt-4o-mini-2024-07-18:acme:pumps:1"
    snapshot = SnapshotRef(number=1, manifest_hash="m", collection="c")
    opened.trainings.start("default", "t-1", [])
    ref = ModelRef(kind="hosted", base=model, base_digest="")
    opened.trainings.succeed("default", ref, Lineage("t-1", "hosted-1", snapshot, (), 10, {}))
    assert retirements(opened, date(2026, 10, 1)) == []
    [alarm] = retirements(opened, date(2027, 1, 10))
    assert (alarm.model, alarm.days_left, alarm.within_days) == (model, 4, 7)


def test_jobs_are_listed_cancelled_and_their_files_deleted(server: HostedServer, run: Run, labelled: Path) -> None:
    report = trained()
    assert report.training is not None
    [job] = read(run("hosted", "jobs", "--json"))["jobs"]
    billed = server.vendor.made[0].billed(server.vendor.clock())
    assert (job["state"], job["model"], job["trained_tokens"]) == ("succeeded", report.training.model.id, billed)
    assert read(run("hosted", "cancel", job["intent"][:12], "--json"))["state"] == "succeeded"
    assert read(run("hosted", "delete-files", job["intent"], "--json"))["deleted"] == ["file-1"]
    assert server.vendor.files == {}


def test_golden_answers_of_a_hosted_release_are_kept_and_no_vacuum_takes_them(
    run: Run, labelled: Path, tmp_path: Path
) -> None:
    release = trained().release
    assert release is not None
    row = {"question": "How many kg does the crane weigh?", "answer": "It weighs 7 kg.", "documents": ["crane.md"]}
    (labelled / "crane.md").write_text("# Crane\n\nThe crane weighs 7 kg.\n")
    ingested()
    (tmp_path / "golden.jsonl").write_text(json.dumps(row | {"split": "golden"}))
    import_labels(bench().labels, tmp_path / "golden.jsonl")
    saved = read(run("hosted", "save-answers", "--release", release.id, "--json"))["golden_answers"]
    assert bench().artifacts.exists(saved)
    assert [one.golden_answers for one in bench().hosted_jobs.jobs("default")] == [saved]
    assert saved in CatalogRetention(bench().engine).named_artifacts()
