"""Large runs in portions: on threads, and on real Dask and Ray workers, processes of their own."""

import asyncio
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.runtime import flow_run

from flows import reingest_docs as flow_of_this
from flows.reingest_docs import ReingestRequest, reingest, reingest_docs
from infra.workbench import open_workbench
from tasks.core.ingestion import IngestReport
from tasks.portions import file_portions

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("prefect_server", "home"), pytest.mark.xdist_group("prefect")]


def pages(folder: Path, count: int) -> Path:
    folder.mkdir(exist_ok=True)
    for n in range(count):
        (folder / f"pump-{n}.md").write_text(f"# Pump {n}\n\n## Flow\n\nPump {n} moves {n + 40} litres a minute.\n")
    (folder / "broken.docx").write_bytes(b"no zip")
    return folder


@pytest.fixture
def undivided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> IngestReport:
    """What a run of the same documents makes that nobody helps."""
    with monkeypatch.context() as patch:
        patch.setenv("RATCHET_HOME", str(tmp_path / "undivided"))
        with closing(open_workbench("default")) as bench:
            return asyncio.run(reingest(bench, ReingestRequest(path=str(pages(tmp_path / "docs", 7)))))


@pytest.mark.parametrize("engine", ["threads", "dask", "ray"])
def test_the_snapshot_is_the_one_that_an_undivided_run_makes(
    engine: str, undivided: IngestReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATCHET_FAN_OUT", engine)
    monkeypatch.setenv("RATCHET_FAN_OUT_DOCUMENTS", "1")
    monkeypatch.setenv("RATCHET_FAN_OUT_WORKERS", "2")
    report, tasks = asyncio.run(_run(tmp_path / "docs"))
    assert report.manifest_hash == undivided.manifest_hash
    assert report.embeds == undivided.embeds == 7
    assert report.documents == undivided.documents
    assert tasks["portion"] >= 7
    assert tasks["failed"] == 0


async def test_portions_that_nobody_could_do_are_done_by_the_run(
    undivided: IngestReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a worker has another version of the parser: what it read must not be taken for what the run reads."""

    def of_another_parser(*given: object) -> list[object]:
        return [replace(one, parser="another") for one in file_portions(*given)]  # type: ignore[arg-type]

    monkeypatch.setattr(flow_of_this, "file_portions", of_another_parser)
    monkeypatch.setenv("RATCHET_FAN_OUT_DOCUMENTS", "1")
    report, tasks = await _run(tmp_path / "docs")
    assert report.manifest_hash == undivided.manifest_hash
    assert tasks["failed"] >= 7


async def test_a_small_run_is_not_divided(tmp_path: Path) -> None:
    _, tasks = await _run(pages(tmp_path / "docs", 3))
    assert tasks["portion"] == 0


async def _run(docs: Path) -> tuple[IngestReport, dict[str, int]]:
    """A run's report, how many portions of files it had, and how many task runs failed.

    Ray may end a worker before it has told the last state of its task run, which is no failure.
    """

    @flow
    async def one() -> tuple[IngestReport, str | None]:
        return await reingest_docs.fn(ReingestRequest(path=str(docs))), flow_run.id

    report, run = await one()
    assert run is not None
    of_it = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(run)]))
    async with get_client() as client:
        for _ in range(100):  # states of task runs arrive as events, a little later
            runs = await client.read_task_runs(flow_run_filter=of_it)
            if all(one.state is not None and one.state.is_final() for one in runs):
                break
            await asyncio.sleep(0.2)
    return report, {
        "portion": sum(one.name.startswith("parse ") for one in runs),
        "failed": sum(one.state_name != "Completed" for one in runs if one.state is not None and one.state.is_final()),
    }
