"""The flow `vacuum-index` against a real Prefect server."""

from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from flows.refresh_assistant import RefreshRequest, refresh_assistant
from flows.roll_back import RollBackRequest, roll_back
from flows.vacuum_index import VacuumRequest, vacuum_index
from tasks.core.errors import NotFound

pytestmark = [pytest.mark.usefixtures("prefect_server", "home"), pytest.mark.xdist_group("prefect")]


async def follow(docs: Path, versions: int) -> list[str]:
    """A release per version of the documents, each live."""
    made = []
    for version in range(versions):
        (docs / "crane.md").write_text(f"# Crane\n\n## Load\n\nThe crane lifts {version + 4} tonnes.\n")
        report = await refresh_assistant(RefreshRequest(path=str(docs)))
        assert report.release is not None
        made.append(report.release.id)
    return made


async def test_a_run_reclaims_reports_in_the_ui_and_leaves_a_rollback_possible(docs: Path) -> None:
    made = await follow(docs, 3)
    planned = await vacuum_index(VacuumRequest(plan=True, keep_releases=1))
    report = await vacuum_index(VacuumRequest(keep_releases=1))
    own = ("plan", "index_chunks", "probes")
    assert {k: v for k, v in planned.as_json().items() if k not in own} == {
        k: v for k, v in report.as_json().items() if k not in own
    }
    assert (report.retention.keep, report.retention.reclaim, report.lives.chunks) == ((2, 3), (1,), 1)
    assert report.probes is not None
    assert report.probes.checked == report.probes.identical > 0
    async with get_client() as client:
        shown = await client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["default-vacuum"]))
        )
    assert str(shown[-1].data).startswith("# 1 snapshots went, 2 stay")
    assert (await roll_back(RollBackRequest(reason="test"))).release == made[1]
    with pytest.raises(NotFound, match="its snapshot 1 was reclaimed by vacuum on"):
        await roll_back(RollBackRequest(to=made[0], reason="test"))
