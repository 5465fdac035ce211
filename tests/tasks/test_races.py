"""Promise 5: two runs at once. One works, the other says so; whoever wins, nothing is there twice."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import pytest
from document_fakes import MemorySource, ingest, new_bench, new_catalog, rebuilt

from tasks.core.errors import AssistantBusy

RACES = 50


@pytest.mark.parametrize("runners", [2])
def test_fifty_races_leave_one_run_working_and_nothing_twice(tmp_path: Path, runners: int) -> None:
    source = MemorySource({})
    benches = [new_bench(tmp_path, source, engine=new_catalog(tmp_path)) for _ in range(runners)]
    outcomes: Counter[str] = Counter()
    for race in range(RACES):
        for page in range(race % 5, 20, 5):
            source.write(f"page-{page}.md", f"# Page {page}\n\nIn race {race} the pump runs at {race + page} bar.")
        outcomes.update(run_at_once(benches))
        snapshot = benches[0].catalog.published("default")
        assert snapshot is not None
        assert snapshot.number == race + 1
        keys = benches[0].catalog.chunk_keys("default", snapshot.number)
        assert benches[0].index.chunk_ids(snapshot.collection, snapshot.number) == set(keys)
        assert benches[0].index.count(snapshot.collection, snapshot.number) == len(keys)  # ids could hide doubles
    assert outcomes["published"] == RACES
    assert outcomes["published"] + outcomes["busy"] + outcomes["nothing new"] == RACES * runners
    assert outcomes["busy"] > 0
    again = rebuilt(benches[0], tmp_path, source)
    assert again.manifest_hash == snapshot.manifest_hash


def run_at_once(benches: list) -> list[str]:
    together = threading.Barrier(len(benches))
    outcomes: list[str] = []

    def run(bench) -> None:
        together.wait()
        try:
            outcomes.append("published" if ingest(bench).is_new else "nothing new")
        except AssistantBusy:
            outcomes.append("busy")

    runners = [threading.Thread(target=run, args=(bench,)) for bench in benches]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    return outcomes
