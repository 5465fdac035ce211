"""A release becomes current by answering in another process: real catalog, index, embedder and model server."""

from collections.abc import Iterator

import psutil
import pytest
from document_fakes import ingest
from judged_releases import GOLDEN, LABELS, judged
from service_fakes import running
from tiny_llama import tiny_llama

from infra.adapters.answering_process import STARTED
from infra.service.open_service import service_of
from infra.settings import Settings
from infra.workbench import Workbench, open_workbench
from tasks.core.errors import PromotionRefused
from tasks.releases import promote


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """An assistant with one page and a tiny random model."""
    folder = tmp_path_factory.mktemp("promotion")
    (folder / "docs").mkdir()
    (folder / "docs" / "pump.md").write_text(
        "# Bilge pump\n\nIt moves 90 litres of water per minute. It weighs 7 kg.\n"
    )
    bench = open_workbench("default", Settings(home=folder / "home", base_model=str(tiny_llama(folder / "base"))))
    ingest(bench.documents, str(folder / "docs"))
    yield bench
    bench.close()


def test_a_release_is_promoted_when_it_answers_as_judged_in_a_process_started_for_it(bench: Workbench) -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    release = judged(bench, bench.chat.base())
    made = promote(bench.release_bench, release, golden_set=GOLDEN, who="ann")
    assert made is not None
    assert made.rehearsal is not None
    assert (made.rehearsal.where, made.rehearsal.questions, made.rehearsal.warmed) == (STARTED, len(LABELS), False)
    assert made.rehearsal.agreed == len(LABELS)
    assert bench.releases.standing("default").release == bench.anchors.anchor("default") == release
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


@pytest.fixture
def asking(bench: Workbench) -> Iterator[Workbench]:
    """The same assistant, where a service runs and the settings name it."""
    with running(service_of(bench)) as address:
        asking = open_workbench("default", bench.settings.model_copy(update={"service_url": address}))
        yield asking
        asking.close()


def test_a_service_that_runs_has_the_release_open_once_it_is_promoted(bench: Workbench, asking: Workbench) -> None:
    release = judged(bench, bench.chat.base(), words=11)
    made = promote(asking.release_bench, release, golden_set=GOLDEN, who="ann")
    assert made is not None
    assert made.rehearsal is not None
    assert (made.rehearsal.where, made.rehearsal.warmed) == (asking.settings.service_url, True)
    assert "chat" not in vars(asking)  # it was not opened in the process that promotes
    assert bench.releases.standing("default").release == release


def test_a_release_whose_adapter_is_gone_is_refused_by_a_service_that_runs(bench: Workbench, asking: Workbench) -> None:
    served, history = bench.releases.standing("default"), bench.releases.history("default")
    gone = bench.chat.base().model_copy(update={"kind": "lora", "adapter": f"sha256-{0:064x}"})
    release = judged(bench, gone)
    with pytest.raises(PromotionRefused, match=r"404 not_found.*no artifact sha256-0"):
        promote(asking.release_bench, release, golden_set=GOLDEN, who="ann")
    assert (bench.releases.standing("default"), bench.releases.history("default")) == (served, history)
