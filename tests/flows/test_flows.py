"""The flows against a real Prefect server, the real embedder and index, and a tiny random language model."""

import asyncio
import json
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    LogFilter,
    LogFilterFlowRunId,
)

from blocks import RatchetAssistant
from flows.evaluate_release import EvaluateRequest, evaluate_release
from flows.promote_release import PromoteRequest, promote_release
from flows.refresh_assistant import RefreshRequest, refresh_assistant
from flows.reingest_docs import ReingestRequest, reingest_docs
from flows.retrain_model import RetrainRequest, retrain_model
from flows.roll_back import RollBackRequest, roll_back
from infra.workbench import open_workbench
from tasks.core.errors import PromotionRefused, SourceMissing, TooManyDeletions, UsageError
from tasks.labels import import_labels

pytestmark = [pytest.mark.usefixtures("prefect_server", "home"), pytest.mark.xdist_group("prefect")]


def write_labels(folder: Path, rows: list[dict[str, object]]) -> Path:
    file = folder / "labels.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows))
    return file


ROWS = [
    {"question": "How much water does the bilge pump move?", "answer": "It moves 90 litres.", "documents": ["pump.md"]},
    {"question": "How tall is the light mast?", "answer": "It stands 9 metres tall.", "documents": ["mast.md"]},
]


async def test_a_second_run_with_nothing_new_embeds_and_publishes_nothing(docs: Path) -> None:
    first = await reingest_docs(ReingestRequest(path=str(docs)))
    assert (first.snapshot, first.documents["added"], first.embeds) == (1, 3, first.chunks["live"])
    again = await reingest_docs(ReingestRequest())
    assert (again.snapshot, again.embeds, again.is_new) == (1, 0, False)
    assert again.manifest_hash == first.manifest_hash


async def test_the_steps_of_a_flow_are_task_runs_a_person_can_read(docs: Path) -> None:
    state = await reingest_docs(ReingestRequest(path=str(docs)), return_state=True)
    async with get_client() as client:
        run = await client.read_flow_run(state.state_details.flow_run_id)
        from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

        tasks = await client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id])))
    assert run.name == "default: re-ingest (manual)"
    steps = {"resolve-sources", "scan", "plan", "read", "embed", "build", "publish", "recheck-probes"}
    assert {task.name for task in tasks} == steps


async def test_a_plan_says_what_the_run_then_does_and_writes_nothing(docs: Path) -> None:
    planned = await reingest_docs(ReingestRequest(path=str(docs), plan=True))
    assert open_workbench("default").document_catalog.published("default") is None
    done = await reingest_docs(ReingestRequest(path=str(docs)))
    assert planned.is_plan
    assert (planned.documents, planned.chunks, planned.embeds) == (done.documents, done.chunks, done.embeds)
    assert planned.manifest_hash == done.manifest_hash


async def test_what_changed_is_a_table_beside_the_run_and_a_sentence_in_its_log(docs: Path) -> None:
    await reingest_docs(ReingestRequest(path=str(docs)))
    (docs / "pump.md").write_text("# Pump\n\nThe pump moves 95 litres.\n")
    (docs / "mast.md").unlink()
    (docs / "crane.md").write_text("# Crane\n\nThe crane lifts 4 tonnes.\n")
    (docs / "broken.pdf").write_bytes(b"%PDF-1.4 no more")
    state = await reingest_docs(ReingestRequest(max_delete_fraction=1), return_state=True)
    run = state.state_details.flow_run_id
    assert run is not None
    said = "Snapshot 2 published: 1 added, 1 changed, 1 deleted, 1 quarantined documents; 2 texts embedded"
    async with get_client() as client:
        found = await client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
        )
        for _ in range(100):  # logs arrive a little later
            logs = await client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run])))
            if any(said in one.message for one in logs):
                break
            await asyncio.sleep(0.1)
    [shown] = [one for one in found if one.key == "default-documents"]
    assert shown.description == said
    assert [
        (row["document"].rpartition("/")[2], row["change"], row["chunks"]) for row in json.loads(str(shown.data))
    ] == [
        ("broken.pdf", "quarantined", 0),
        ("crane.md", "added", 1),
        ("mast.md", "deleted", 0),
        ("pump.md", "changed", 1),
    ]
    assert said in [one.message for one in logs]


async def test_a_run_that_moves_the_pointer_links_to_the_service_that_serves_it(
    docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATCHET_SERVICE_PORT", "8399")
    state = await refresh_assistant(RefreshRequest(path=str(docs)), return_state=True)
    run = state.state_details.flow_run_id
    assert run is not None
    made = (await state.result()).promotion
    async with get_client() as client:
        shown = await client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
        )
    [link] = [one for one in shown if one.key == "default-service"]
    assert "http://127.0.0.1:8399/v1/models" in str(link.data)
    assert link.description == f"Release {made.release} is served"


async def test_a_missing_source_fails_the_run_at_once_without_retries(docs: Path) -> None:
    with pytest.raises(SourceMissing):
        await reingest_docs(ReingestRequest(path=str(docs / "nowhere")))


async def test_an_unmounted_source_cannot_empty_the_index(docs: Path) -> None:
    await reingest_docs(ReingestRequest(path=str(docs)))
    for file in docs.iterdir():
        file.unlink()
    with pytest.raises(TooManyDeletions):
        await reingest_docs(ReingestRequest())
    snapshot = open_workbench("default").document_catalog.published("default")
    assert snapshot is not None
    assert (snapshot.number, snapshot.documents) == (1, 3)


async def test_without_a_golden_set_new_documents_go_live_unproven(docs: Path) -> None:
    report = await refresh_assistant(RefreshRequest(path=str(docs)))
    assert report.evaluation is None
    assert report.promotion is not None
    assert report.promotion.unproven
    again = await refresh_assistant(RefreshRequest())
    assert (again.release, again.promotion) == (None, None)


async def test_a_policy_can_forbid_unproven_releases(docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATCHET_ALLOW_UNPROVEN", "false")
    with pytest.raises(PromotionRefused, match="allow_unproven is off"):
        await refresh_assistant(RefreshRequest(path=str(docs)))
    assert open_workbench("default").releases.standing("default").release is None


async def test_a_first_golden_set_ends_the_unproven_time(docs: Path, tmp_path: Path) -> None:
    await refresh_assistant(RefreshRequest(path=str(docs)))
    bench = open_workbench("default")
    import_labels(bench.labels, write_labels(tmp_path, [row | {"split": "golden"} for row in ROWS]))
    (docs / "new.md").write_text("# Crane\n\nThe crane lifts 4 tonnes.\n")
    report = await refresh_assistant(RefreshRequest())
    assert report.evaluation is not None
    assert report.evaluation.verdict != "PROMOTE"  # a random model knows nothing
    assert report.promotion is None
    served = bench.releases.standing("default")
    assert served.unproven
    assert served.release != report.release.id if report.release else False


async def test_a_verdict_is_shown_in_the_ui_and_a_refused_release_stays_refused(docs: Path, tmp_path: Path) -> None:
    await refresh_assistant(RefreshRequest(path=str(docs)))
    bench = open_workbench("default")
    import_labels(bench.labels, write_labels(tmp_path, [row | {"split": "golden"} for row in ROWS]))
    served = bench.releases.standing("default").release
    assert served is not None
    judged = await evaluate_release(EvaluateRequest(release=served))
    assert judged.verdict in {"HOLD", "REJECT"}
    async with get_client() as client:
        found = await client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(like_="default-evaluation"))
        )
    page = f"file://{bench.artifacts.path(judged.id)}/report.html"  # the same release may be judged elsewhere too
    assert any(page in str(one.data) for one in found if one.key == "default-evaluation-page")
    shown = {one.key: str(one.data) for one in found if judged.release in str(one.description)}
    assert shown["default-evaluation"].startswith(f"# {judged.verdict}: {judged.release}")
    rows = json.loads(shown["default-evaluation-gates"])
    assert {row["gate"] for row in rows} == {gate.name for gate in judged.gates}
    with pytest.raises(PromotionRefused, match=f"judged {judged.verdict}"):
        await promote_release(PromoteRequest(release=served))


async def test_rolling_back_returns_to_the_release_before(docs: Path) -> None:
    first = (await refresh_assistant(RefreshRequest(path=str(docs)))).promotion
    (docs / "new.md").write_text("# Crane\n\nThe crane lifts 4 tonnes.\n")
    second = (await refresh_assistant(RefreshRequest())).promotion
    assert first is not None
    assert second is not None
    back = await roll_back(RollBackRequest(reason="test"))
    assert (back.release, back.previous, back.unproven) == (first.release, second.release, True)


async def test_below_the_threshold_nothing_is_trained_and_the_reason_has_the_numbers(docs: Path) -> None:
    await reingest_docs(ReingestRequest(path=str(docs)))
    report = await retrain_model(RetrainRequest())
    assert (report.training, report.release) == (None, None)
    assert report.decision.reason == "There is no accepted training label."


@pytest.mark.long
async def test_forced_training_makes_a_candidate_once_and_the_same_labels_are_not_trained_twice(
    docs: Path, tmp_path: Path
) -> None:
    await refresh_assistant(RefreshRequest(path=str(docs)))
    bench = open_workbench("default")
    rows = [row | {"split": "train"} for row in ROWS]
    import_labels(bench.labels, write_labels(tmp_path, rows))
    first = await retrain_model(RetrainRequest(force=True, evaluate=False))
    assert first.training is not None
    assert first.release is not None
    assert first.release.manifest.pattern == "sequential"
    assert first.release.manifest.model == first.training.model.ref
    again = await retrain_model(RetrainRequest(force=True, evaluate=False))
    assert again.training is not None
    assert (again.training.model.id, again.training.seconds) == (first.training.model.id, 0.0)
    assert again.release == first.release


async def test_a_block_says_where_an_assistant_lives_and_is_not_taken_for_another(docs: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    await RatchetAssistant(assistant="handbook", home=str(elsewhere)).save("handbook", overwrite=True)
    report = await reingest_docs(ReingestRequest(assistant="handbook", block="handbook", path=str(docs)))
    assert report.snapshot == 1
    assert (elsewhere / "catalog.sqlite").is_file()
    with pytest.raises(UsageError, match="about assistant handbook, the request about default"):
        await reingest_docs(ReingestRequest(block="handbook"))
