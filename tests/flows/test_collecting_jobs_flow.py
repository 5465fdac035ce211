"""A hosted job outlives the run that began it, and what it was begun on: the next run collects it."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from command_line import Run, read
from killed_hosted_training import killed_while_a_job_runs
from openai_hosted_fake import HostedServer

from flows.reingest_docs import ReingestRequest, reingest
from flows.retrain_model import RetrainReport, RetrainRequest, retrain
from infra.workbench import Workbench, open_workbench
from tasks.core.errors import HostedJobFailed, HostedJobWaiting
from tasks.labels import import_labels

pytestmark = [pytest.mark.usefixtures("home", "server"), pytest.mark.xdist_group("prefect")]
PUMPS = range(2, 10)
TRAIN = ["train", "--method", "openai"]


@pytest.fixture
def labelled(tmp_path: Path, catalog_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A handbook of pumps, and as many training labels about them as start a training."""
    monkeypatch.setenv("RATCHET_DATABASE_URL", catalog_url)
    monkeypatch.setenv("RATCHET_RETRAIN_THRESHOLD", str(len(PUMPS)))
    docs = tmp_path / "pumps"
    docs.mkdir()
    add(docs, PUMPS)
    return docs


def add(docs: Path, pumps: Sequence[int]) -> None:
    """A page and a label of each."""
    labels = []
    for n in pumps:
        (docs / f"pump-{n}.md").write_text(f"# Pump {n}\n\nPump {n} runs at up to {n}0 bar.\n")
        row = {"question": f"At how many bar does pump {n} run?", "answer": f"Pump {n} runs at up to {n}0 bar."}
        labels.append(row | {"documents": [f"pump-{n}.md"], "split": "train"})
    file = docs.parent / "labels.jsonl"
    file.write_text("\n".join(map(json.dumps, labels)))
    opened = bench()
    asyncio.run(reingest(opened, ReingestRequest(path=str(docs))))
    import_labels(opened.labels, file)
    opened.close()  # its parser is a process of its own


def bench() -> Workbench:
    return open_workbench("default")


def trained(method: str = "openai", *, force: bool = False) -> RetrainReport:
    """The flow's own function, outside a flow run."""
    return asyncio.run(retrain(bench(), RetrainRequest(method=method, force=force, evaluate=False)))  # type: ignore[arg-type]


@pytest.fixture
def outlived(home: Path, server: HostedServer, labelled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that outlived the run which began it, and a label that has come since."""
    monkeypatch.setenv("RATCHET_HOSTED_WAIT_HOURS", "0.0001")
    server.vendor.paused = 1e9
    with pytest.raises(HostedJobWaiting):
        trained()
    server.vendor.made[0].paused = 0.0
    add(labelled, [11])
    monkeypatch.delenv("RATCHET_HOSTED_WAIT_HOURS")


@pytest.mark.long
def test_a_killed_runs_job_is_collected_after_labels_and_pages_changed_and_the_new_label_counts_towards_the_next(
    server: HostedServer, run: Run, labelled: Path
) -> None:
    status, said = killed_while_a_job_runs(server, *TRAIN)
    assert (status, len(server.vendor.made)) == (-signal.SIGKILL, 1), said
    old = {label.id for label in bench().label_catalog.labels("default")}
    add(labelled, [11])

    made = read(run(*TRAIN, "--json"))
    [job] = server.vendor.made
    assert (made["trained"], made["model"], made["method"]) == (True, server.vendor.model_of(job), "openai")
    assert made["reason"] == "1 new labels; a training starts at 8."
    assert made["method_reason"] == (
        f"Hosted: job {job.id} was begun before, on 8 labels and snapshot 1, and is collected: nothing more is paid. "
        "Since then, and counting towards the next training, new labels: 1. The documents are at snapshot 2 now."
    )
    opened = bench()
    [model] = opened.trainings.models("default")
    assert (set(model.lineage.label_ids), model.lineage.snapshot.number) == (old, 1)
    assert opened.label_catalog.consumed("default") == old
    manifest = opened.releases.release("default", made["release"]).manifest
    assert (manifest.model, manifest.snapshot.number, manifest.pattern) == (model.ref, 2, "sequential")
    exported = labelled.parent / "rows.jsonl"
    run("labels", "export", "--model", made["model"], exported)
    uploaded = server.vendor.files["file-1"].content.count(b"\n")
    assert exported.read_bytes().count(b'"split":"train"') == uploaded == model.lineage.rows

    again = read(run(*TRAIN, "--json"))
    assert (again["model"], again["release"]) == (made["model"], made["release"])
    assert (len(server.vendor.made), read(run("labels", "status", "--json"))["new"]) == (1, 1)
    add(labelled, range(12, 19))
    assert read(run(*TRAIN, "--json"))["model"] == server.vendor.model_of(server.vendor.made[1])
    assert bench().label_catalog.consumed("default") > old


@pytest.mark.parametrize("catalog_url", ["sqlite"], indirect=True)
@pytest.mark.usefixtures("prefect_server")
@pytest.mark.usefixtures("outlived")
def test_with_a_prefect_server_the_command_collects_and_says_so(server: HostedServer, run: Run) -> None:
    made = run(*TRAIN)
    assert "was begun before, on 8 labels" in made.output
    assert len(server.vendor.made) == len(bench().trainings.models("default")) == 1


@pytest.mark.parametrize("catalog_url", ["sqlite"], indirect=True)
@pytest.mark.usefixtures("outlived")
def test_auto_collects_what_is_paid_for_before_it_chooses() -> None:
    report = trained("auto")
    assert report.choice is not None
    assert report.choice.method == "openai"
    assert "is collected: nothing more is paid" in report.choice.reason


@pytest.mark.parametrize("catalog_url", ["sqlite"], indirect=True)
def test_a_collected_job_that_failed_ends_the_run_with_its_error_and_the_next_trains_on_todays_rows(
    server: HostedServer, labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATCHET_HOSTED_WAIT_HOURS", "0.0001")
    server.vendor.paused, server.vendor.ends = 1e9, "failed"
    with pytest.raises(HostedJobWaiting):
        trained()
    server.vendor.made[0].paused, server.vendor.paused, server.vendor.ends = 0.0, 0.0, "succeeded"
    monkeypatch.delenv("RATCHET_HOSTED_WAIT_HOURS")
    add(labelled, [11])
    with pytest.raises(HostedJobFailed):
        trained()
    assert (bench().label_catalog.consumed("default"), len(server.vendor.made)) == (frozenset(), 1)
    report = trained()
    assert report.training is not None
    assert (len(report.training.model.lineage.label_ids), len(server.vendor.made)) == (9, 2)
