"""`ratchet train --method openai-dpo`: people's preferences become a hosted model, over real HTTP to a fake vendor."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import Run, read
from hosted_vendor import Refused
from killed_hosted_training import killed_while_a_job_runs
from openai_hosted_fake import HostedServer

from flows.cli import ratchet
from flows.reingest_docs import ReingestRequest, reingest
from flows.retrain_model import RetrainReport, RetrainRequest, left_unjudged, retrain
from infra.settings import Settings
from infra.workbench import Workbench, open_workbench
from tasks.core.errors import (
    BadSetting,
    BudgetExceeded,
    GoldenLeak,
    HostedJobFailed,
    HostedJobWaiting,
    InvalidTrainingFile,
)
from tasks.core.label_import import LabelChanges
from tasks.core.labels import Label
from tasks.core.opinions import Preference
from tasks.core.releases import ModelRef
from tasks.labels import import_labels

pytestmark = [pytest.mark.usefixtures("home", "server"), pytest.mark.xdist_group("prefect")]
PUMPS = range(10, 22)
TRAIN = ["train", "--method", "openai-dpo"]


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, tiny_base_model: Path) -> Path:
    """The home of an assistant with a handbook of pumps, a preference about each, and a golden question about a saw."""
    folder = tmp_path_factory.mktemp("begun")
    docs = folder / "pumps"
    docs.mkdir()
    rows: list[dict[str, object]] = []
    for n in PUMPS:
        (docs / f"pump-{n}.md").write_text(f"# Pump {n}\n\nPump {n} runs at up to {n}0 bar.\n")
        asked = {"question": f"At how many bar does pump {n} run?", "documents": [f"pump-{n}.md"]}
        rows.append(asked | {"chosen": f"Pump {n} runs at up to {n}0 bar.", "rejected": "Rather a lot, I guess!"})
    (docs / "saw.md").write_text("# Saw\n\nThe saw is 27 millimetres wide.\n")
    golden = {"question": "How wide is the saw?", "answer": "The saw is 27 millimetres wide.", "documents": ["saw.md"]}
    rows.append(golden | {"split": "golden"})
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    opened = open_workbench("default", Settings(home=folder / "home", base_model=str(tiny_base_model)))
    asyncio.run(reingest(opened, ReingestRequest(path=str(docs))))
    import_labels(opened.labels, folder / "rows.jsonl")
    opened.close()  # its parser is a process of its own
    opened.engine.dispose()
    return folder / "home"


@pytest.fixture
def preferring(begun: Path, home: Path) -> None:
    """That assistant, for one test."""
    shutil.copytree(begun, home)


def bench() -> Workbench:
    return open_workbench("default")


def trained(*, force: bool = True) -> RetrainReport:
    """The flow's own function, outside a flow run."""
    return asyncio.run(retrain(bench(), RetrainRequest(method="openai-dpo", force=force, evaluate=False)))


def served(model: ModelRef) -> None:
    """A proven release of this model, over today's documents, is current."""
    opened = bench()
    found = opened.document_catalog.published("default")
    assert found is not None
    start = opened.releases.releases("default")[0].manifest
    release = opened.releases.register(start.model_copy(update={"model": model}), "a test").id
    moved = opened.releases.move_pointer(
        "default",
        release,
        expected=opened.releases.standing("default").release,
        kind="promote",
        evaluation=None,
        unproven=False,
        who="ann",
        reason="a test",
    )
    assert moved is not None


def consumed() -> int:
    return len(bench().label_catalog.consumed("default"))


# ── what comes of it ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("prefect_server")
def test_preferences_past_the_threshold_become_a_hosted_candidate_that_the_gates_judge(
    server: HostedServer, run: Run, preferring: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = read(run(*TRAIN, "--json"))
    assert (few["trained"], "12 new preferences of 12 accepted ones, and 50 are asked for" in few["reason"]) == (
        False,
        True,
    )
    assert server.vendor.calls == []
    monkeypatch.setenv("RATCHET_PREFERENCES__LEAST", str(len(PUMPS)))
    monkeypatch.setenv("RATCHET_HOSTED_BETA", "0.2")
    made = read(run(*TRAIN, "--json"))
    [job] = server.vendor.made
    assert (made["trained"], made["method"], made["examples"]) == (True, "openai-dpo", len(PUMPS))
    assert made["model"] == server.vendor.model_of(job)
    assert job.body["model"] == "tiny-base"
    assert job.body["method"] == {"type": "dpo", "dpo": {"hyperparameters": {"n_epochs": 3, "beta": 0.2}}}
    assert made["method_reason"].startswith("Hosted DPO: asked for, beginning with tiny-base. 12 of 12 accepted")
    assert "at $3.00 per million, as RATCHET_HOSTED_USD_PER_MILLION_TOKENS says." in made["method_reason"]

    models = read(run("models", "--json"))
    [lineage] = [one["lineage"] for one in models["models"] if one["model"] == made["model"]]
    assert (lineage["method"], lineage["started_from"], lineage["labels"]) == ("dpo", None, len(PUMPS))
    assert [(one["method"], one["intent"]) for one in models["jobs"]] == [("dpo", lineage["training"])]
    assert left_unjudged(bench(), "openai-dpo")
    assert not left_unjudged(bench(), "dpo")  # which would train here

    judged = run("evaluate", made["release"], "--json")
    assert judged.exit_code in (3, 4), judged.output  # one golden question decides nothing
    gates = {gate["name"]: gate["outcome"] for gate in read(judged)["gates"]}
    assert (gates["intact"], gates["no-leak"]) == ("pass", "pass")
    assert not left_unjudged(bench(), "openai-dpo")


def test_a_pair_is_uploaded_under_the_prompt_that_is_served(server: HostedServer, run: Run, preferring: None) -> None:
    release = trained().release
    assert release is not None
    pairs = [json.loads(line) for line in server.vendor.files["file-1"].content.splitlines()]
    run("ask", "At how many bar does pump 17 run?", "--release", release.id, "--json")
    sent = server.sent("POST", "/chat/completions")[-1]["messages"]
    assert [message["role"] for message in sent] == ["system", "user"]  # one turn: no worked examples
    [pair] = [one for one in pairs if one["input"]["messages"][-1] == sent[-1]]
    [better], [worse] = pair["preferred_output"], pair["non_preferred_output"]
    assert pair["input"]["messages"] == sent
    assert better["content"].startswith("Pump 17 runs at up to 170 bar. [")
    assert worse["content"].startswith("Rather a lot, I guess! [")
    assert all("millimetres" not in one["input"]["messages"][-1]["content"] for one in pairs)  # of the golden page


def test_the_same_preferences_again_pay_nothing(server: HostedServer, preferring: None) -> None:
    first, again = trained(), trained()
    assert first.training is not None
    assert again.training is not None
    assert (again.training.model, again.training.seconds) == (first.training.model, 0.0)
    assert len(server.vendor.made) == len(server.vendor.files) == 1
    assert consumed() == len(PUMPS)


def test_a_model_that_waits_to_be_judged_is_not_trained_and_paid_again_for_a_preference_more(
    server: HostedServer, preferring: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATCHET_PREFERENCES__LEAST", str(len(PUMPS)))
    first = trained(force=False)
    more = {"question": "At how many bar does pump 11 run, please?", "documents": ["pump-11.md"]}
    more |= {"chosen": "Pump 11 runs at up to 110 bar.", "rejected": "No idea."}
    (tmp_path / "more.jsonl").write_text(json.dumps(more))
    assert import_labels(bench().labels, tmp_path / "more.jsonl").accepted == 1
    again = trained(force=False)
    assert (first.decision.train, again.decision.train, again.decision.new) == (True, False, 1)
    assert first.training is not None
    assert again.training is not None
    assert again.choice is not None
    assert (again.training.model, again.release) == (first.training.model, first.release)
    assert "was trained before and waits to be judged" in again.choice.reason
    assert len(server.vendor.made) == 1


def test_it_goes_on_from_the_hosted_model_that_is_served_and_remembers_what_that_learned(
    server: HostedServer, preferring: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = trained().training
    assert first is not None
    served(first.model.ref)
    monkeypatch.setenv("RATCHET_HOSTED_EPOCHS", "1")  # another training on the same preferences
    report = trained()
    assert report.training is not None
    assert report.choice is not None
    assert server.vendor.made[1].body["model"] == first.model.id == "ft:tiny-base:acme:ratchet-default:1"
    assert f"beginning with {first.model.id}" in report.choice.reason
    assert report.training.model.lineage.started_from == first.model.id
    assert bench().trainings.trained_on("default", report.training.model.ref) == frozenset(
        first.model.lineage.label_ids
    )
    assert len(server.vendor.files) == 1  # the same rows are uploaded once


@pytest.mark.usefixtures("prefect_server")
def test_no_leak_looks_at_what_a_vendor_was_given_to_prefer(server: HostedServer, run: Run, preferring: None) -> None:
    release = trained().release
    assert release is not None
    late = Label("l-9", "How hard does it press?", "120 bar.", ("pump-12.md",), False, (), "golden", "accepted")
    bench().label_catalog.change("default", lambda _: LabelChanges(added=(late,)))
    judged = run("evaluate", release.id, "--json")
    [leak] = [gate for gate in read(judged)["gates"] if gate["name"] == "no-leak"]
    assert (judged.exit_code, leak["outcome"]) == (4, "fail")
    assert "pump-12.md" in leak["reason"]


@pytest.mark.long
def test_a_process_killed_while_the_job_runs_leaves_one_job_that_the_next_one_follows(
    server: HostedServer, preferring: None
) -> None:
    status, said = killed_while_a_job_runs(server, *TRAIN, "--force")
    assert (status, len(server.vendor.made)) == (-signal.SIGKILL, 1), said
    report = trained()
    assert report.training is not None
    assert report.training.model.id == server.vendor.model_of(server.vendor.made[0])
    assert len(server.vendor.made) == len(server.vendor.files) == 1


def test_a_job_is_collected_though_a_preference_has_come_since(
    server: HostedServer, preferring: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATCHET_PREFERENCES__LEAST", "1")
    monkeypatch.setenv("RATCHET_HOSTED_WAIT_HOURS", "0.0001")
    server.vendor.paused = 1e9
    with pytest.raises(HostedJobWaiting):
        trained(force=False)
    server.vendor.made[0].paused = 0.0
    monkeypatch.delenv("RATCHET_HOSTED_WAIT_HOURS")
    old = {one.id for one in bench().label_catalog.opinions("default")}
    more = {"question": "At how many bar does pump 11 run, please?", "documents": ["pump-11.md"]}
    more |= {"chosen": "Pump 11 runs at up to 110 bar.", "rejected": "No idea."}
    (tmp_path / "more.jsonl").write_text(json.dumps(more))
    assert import_labels(bench().labels, tmp_path / "more.jsonl").accepted == 1
    report = trained(force=False)
    [job] = server.vendor.made
    assert report.training is not None
    assert report.release is not None
    assert report.choice is not None
    assert report.release.manifest.model.base == server.vendor.model_of(job)
    lineage = report.training.model.lineage
    assert (set(lineage.label_ids), lineage.method, report.decision.new) == (old, "dpo", 1)
    assert f"Hosted DPO: job {job.id} was begun before, on 12 preferences" in report.choice.reason
    assert consumed() == len(PUMPS)
    server.vendor.paused = 0.0
    assert trained(force=False).training is not None  # one new preference is enough here
    assert (len(server.vendor.made), consumed()) == (2, len(PUMPS) + 1)


def test_a_job_is_collected_though_an_adapter_is_served_by_now(
    server: HostedServer, preferring: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained()
    monkeypatch.setenv("RATCHET_HOSTED_WAIT_HOURS", "0.0001")
    monkeypatch.setenv("RATCHET_HOSTED_EPOCHS", "1")  # another training on the same preferences
    server.vendor.paused = 1e9
    with pytest.raises(HostedJobWaiting):
        trained()
    server.vendor.made[1].paused = 0.0
    monkeypatch.delenv("RATCHET_HOSTED_WAIT_HOURS")
    served(ModelRef(kind="lora", base="tiny", base_digest="sha256-0", adapter="sha256-tuned"))
    report = trained(force=False)
    assert report.training is not None
    assert report.training.model.id == server.vendor.model_of(server.vendor.made[1])
    assert len(server.vendor.made) == 2


def test_the_command_and_the_form_offer_the_same_methods() -> None:
    [method] = [one for one in ratchet.commands["train"].params if one.name == "method"]
    assert set(method.type.choices) == set(RetrainRequest.model_json_schema()["properties"]["method"]["enum"])  # type: ignore[attr-defined]
    assert "openai-dpo" in method.type.choices  # type: ignore[attr-defined]


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────────────


def refusal(server: HostedServer, error: type[Exception]) -> str:
    """What a training is refused with, before anything is sent or consumed."""
    with pytest.raises(error) as refused:
        trained()
    assert (server.vendor.calls, consumed()) == ([], 0)
    return str(refused.value)


def test_a_served_adapter_is_refused_by_the_method_that_goes_on_from_it(server: HostedServer, preferring: None) -> None:
    trained()
    server.vendor.calls.clear()
    served(ModelRef(kind="lora", base="tiny", base_digest="sha256-0", adapter="sha256-tuned"))
    with pytest.raises(BadSetting, match=r"An adapter on tiny is served.*: `ratchet train --method dpo`"):
        trained()
    assert server.vendor.calls == []


def test_without_a_vendor_it_says_what_to_set(
    server: HostedServer, preferring: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RATCHET_HOSTED_BASE_MODEL")
    assert "RATCHET_HOSTED_BASE_MODEL" in refusal(server, BadSetting)


def test_over_the_budget_nothing_is_sent_and_the_method_here_is_named(
    server: HostedServer, preferring: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATCHET_HOSTED_BUDGET_USD", "0.001")
    assert "or train here: `ratchet train --method dpo`" in refusal(server, BudgetExceeded)


def test_fewer_than_ten_pairs_are_not_uploaded(server: HostedServer, preferring: None) -> None:
    labels = bench().label_catalog
    gone = tuple(replace(one, state="rejected") for one in labels.opinions("default")[:3])
    labels.change("default", lambda _: LabelChanges(opinions_updated=gone))
    assert "9 examples; a job takes at least 10" in refusal(server, InvalidTrainingFile)


def test_two_preferences_against_each_other_are_refused_and_the_message_names_one_to_reject(
    server: HostedServer, run: Run, preferring: None, tmp_path: Path
) -> None:
    asked = {"question": "At how many bar does pump 11 run?", "documents": ["pump-11.md"]}
    rude, kind = "Pump 11 runs at up to 110 bar!!", "Pump 11 runs at up to 110 bar."
    both = [asked | {"chosen": kind, "rejected": rude}, asked | {"chosen": rude, "rejected": kind}]
    (tmp_path / "both.jsonl").write_text("\n".join(map(json.dumps, both)))
    import_labels(bench().labels, tmp_path / "both.jsonl")
    [waits] = read(run("labels", "review", "--json"))["opinions"]
    run("labels", "review", "--accept", waits["id"])  # a person may want both, and DPO here learns both
    with pytest.raises(InvalidTrainingFile, match="prefers the answer to which line") as refusal:
        trained()
    [named] = re.findall(r"line \d+ \((p-\w+)\)", str(refusal.value))
    assert run("labels", "review", "--reject", named).exit_code == 0
    assert trained().training is not None
    assert len(server.vendor.made) == 1


def test_a_preference_about_a_golden_page_stops_before_anything_is_sent(server: HostedServer, preferring: None) -> None:
    leak = Preference("p-9", "Who paints the saw?", "Ann does.", "Nobody!", ("saw.md",), "train", "accepted")
    bench().label_catalog.change("default", lambda _: LabelChanges(opinions_added=(leak,)))
    assert "p-9 is about saw.md" in refusal(server, GoldenLeak)


def test_a_job_that_failed_consumes_no_preference_and_another_attempt_is_asked_for(
    server: HostedServer, preferring: None
) -> None:
    server.vendor.ends = "invalid"
    with pytest.raises(HostedJobFailed, match="`ratchet train --method openai-dpo --force`"):
        trained()
    assert consumed() == 0
    server.vendor.ends = "succeeded"
    assert trained().training is not None
    assert [job.attempt for job in bench().hosted_jobs.jobs("default")] == [2]


@pytest.mark.usefixtures("prefect_server")
def test_an_account_that_may_not_train_ends_the_command_as_it_does_for_labels(
    server: HostedServer, run: Run, preferring: None
) -> None:
    gone = Refused(403, "Fine-tuning is no longer available.", "training_not_available")
    server.vendor.refusals = {"create": [gone]}
    failed = run(*TRAIN, "--force", "--json")
    assert (failed.exit_code, read(failed)["error"]["code"]) == (1, "training_retired")
    assert "`--method dpo` on preferences" in read(failed)["error"]["message"]
    assert consumed() == 0
