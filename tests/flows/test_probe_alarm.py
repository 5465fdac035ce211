"""A kept release that no longer finds what it always found fails the run that noticed."""

from pathlib import Path

import pytest
from sqlalchemy import text

from flows.refresh_assistant import RefreshRequest, refresh
from flows.reingest_docs import ReingestRequest, reingest
from flows.vacuum_index import VacuumRequest, clean
from infra.workbench import Workbench, open_workbench
from tasks.core.errors import IntegrityFailure


@pytest.fixture
async def bench(home: Path, docs: Path) -> Workbench:
    made = open_workbench("default")
    await refresh(made, RefreshRequest(path=str(docs)))
    with made.engine.begin() as connection:
        connection.execute(text("""UPDATE probes SET expected = '["another-chunk"]'"""))
    return made


async def test_after_a_publish(bench: Workbench, docs: Path) -> None:
    assert not (await reingest(bench, ReingestRequest())).is_new  # nothing new: nobody is asked
    (docs / "saw.md").write_text("# Band saw\n\nThe blade is new.")
    with pytest.raises(IntegrityFailure, match="another-chunk, now"):
        await reingest(bench, ReingestRequest())
    bench.close()


async def test_after_a_vacuum(bench: Workbench) -> None:
    with pytest.raises(IntegrityFailure, match="another-chunk, now"):
        await clean(bench, VacuumRequest())
    bench.close()
