"""What the catalog's suites, which run on both databases, leave to PostgreSQL: several processes, its refusals."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from document_fakes import MemorySource, ingest, new_bench
from sqlalchemy import text

from infra.adapters.catalog.database import engine_for, reading
from infra.adapters.catalog.documents import CatalogDocuments
from infra.adapters.catalog.migrate import migrate
from infra.adapters.catalog.releases import CatalogReleases
from tasks.core.errors import BadSetting, CatalogUnavailable
from tasks.core.releases import ModelRef, PromptSpec, ReleaseManifest, RetrievalSettings, SnapshotRef

# Waits for a line on stdin, so that all begin at once; imports are over by then.
OPEN = """
import json, sys
from infra.adapters.catalog.database import engine_for
from infra.adapters.catalog.migrate import migrate
url, me = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
"""
MIGRATE = OPEN + "migrate(engine_for(url)); print('done')"
PROMOTE = (
    OPEN
    + """
from infra.adapters.catalog.releases import CatalogReleases
from tasks.core.releases import ReleaseManifest
catalog = CatalogReleases(engine_for(url))
manifest = ReleaseManifest.model_validate(json.loads(sys.stdin.readline()))
release = catalog.register(manifest, me).id
moved = catalog.move_pointer("default", release, expected=None, kind="promote", evaluation=None, unproven=False,
                             who=me, reason="x")
print("won" if moved else "lost")
"""
)
INGEST = (
    OPEN
    + """
import pathlib, tempfile
from document_fakes import MemorySource, ingest, new_bench
from tasks.core.errors import AssistantBusy
source = MemorySource({f"{me}-{n}.md": f"Pump {me} {n} runs.".encode() for n in range(20)}, f"memory:{me}")
bench = new_bench(pathlib.Path(tempfile.mkdtemp()), source, engine=engine_for(url))
try:
    print("published", ingest(bench, f"memory:{me}", f"s{me}").snapshot)
except AssistantBusy:
    print("busy")
"""
)

MANIFEST = ReleaseManifest(
    assistant="default",
    snapshot=SnapshotRef(number=1, manifest_hash="ab" * 32, collection="default-1"),
    model=ModelRef(kind="base", base="tiny", base_digest="sha256-0"),
    prompt=PromptSpec(system="Answer.", abstention="The documents do not say."),
    retrieval=RetrievalSettings(),
    pattern="rag",
)


def at_once(program: str, url: str, processes: int, line: str = "") -> list[str]:
    """What each of several processes said, which began together."""
    fakes = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2] / 'fakes')!r})\n"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", fakes + program, url, str(n)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in range(processes)
    ]
    for one in running:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    said = []
    for one in running:
        assert one.stdin is not None
        one.stdin.write(f"\n{line}\n")
        one.stdin.flush()
    for one in running:
        out, errors = one.communicate(timeout=60)
        assert one.returncode == 0, errors
        said.append(out.strip())
    return said


def test_several_processes_that_migrate_at_once_make_one_catalog(postgres_url: str) -> None:
    assert at_once(MIGRATE, postgres_url, 2) == ["done"] * 2
    engine = engine_for(postgres_url)
    assert CatalogDocuments(engine).identity() == CatalogDocuments(engine).identity()
    engine.dispose()


def test_of_several_processes_that_promote_at_once_one_wins(postgres_url: str) -> None:
    engine = engine_for(postgres_url)
    migrate(engine)
    said = at_once(PROMOTE, postgres_url, 3, MANIFEST.model_dump_json())
    assert sorted(said) == ["lost", "lost", "won"]
    (only,) = CatalogReleases(engine).history("default")
    assert only.who == str(said.index("won"))
    engine.dispose()


def test_of_several_processes_that_ingest_at_once_each_publishes_or_says_that_another_does(postgres_url: str) -> None:
    engine = engine_for(postgres_url)
    migrate(engine)
    said = at_once(INGEST, postgres_url, 2)
    numbers = sorted(int(one.split()[1]) for one in said if one != "busy")
    assert numbers == list(range(1, len(numbers) + 1)) != []
    assert [one.number for one in CatalogDocuments(engine).snapshots("default")] == numbers
    engine.dispose()


def test_a_catalog_that_stays_locked_is_said_to_be_unavailable_and_readers_do_not_wait_for_it(
    postgres_url: str,
) -> None:
    engine = engine_for(postgres_url)
    migrate(engine)
    hasty = engine_for(postgres_url, busy_seconds=0.1)
    with engine.begin() as writer:
        writer.execute(text("INSERT INTO assistants (name, created_at) VALUES ('a', 'now')"))
        with pytest.raises(CatalogUnavailable, match="lock timeout"), hasty.begin():
            pass
        assert CatalogReleases(hasty).standing("a").release is None
    engine.dispose()
    hasty.dispose()


def test_a_reader_sees_one_moment_and_may_not_write(postgres_url: str) -> None:
    engine = engine_for(postgres_url)
    migrate(engine)
    count = text("SELECT count(*) FROM assistants")
    with reading(engine).begin() as reader:
        before = reader.scalar(count)
        with engine.begin() as writer:
            writer.execute(text("INSERT INTO assistants (name, created_at) VALUES ('a', 'now')"))
        assert reader.scalar(count) == before == 0
    with pytest.raises(Exception, match="read-only transaction"), reading(engine).begin() as reader:
        reader.execute(text("DELETE FROM assistants"))
    engine.dispose()


def test_documents_are_listed_and_counted_as_on_sqlite(tmp_path: Path, postgres_url: str) -> None:
    """Names that PostgreSQL sorts otherwise where its language is not C, and a second run that changes nothing."""
    contents = {name: f"Pump {name} runs at 42 bar.".encode() for name in ("b.md", "A.md", "a.md", "ä.md", "Z/ß.md")}
    manifests = []
    for url in (f"sqlite:///{tmp_path / 'other.sqlite'}", postgres_url):
        engine = engine_for(url)
        migrate(engine)
        (tmp_path / engine.dialect.name).mkdir()
        bench = new_bench(tmp_path / engine.dialect.name, MemorySource(dict(contents)), engine=engine)
        first, second = ingest(bench), ingest(bench)
        assert second.snapshot == first.snapshot == 1
        manifests.append(first.manifest_hash)
        assert [d.uri for d in bench.catalog.documents("default", 1)] == sorted(contents)
        engine.dispose()
    assert manifests[0] == manifests[1]


def test_threads_of_one_process_write_after_one_another(postgres_url: str) -> None:
    """Eight that find no row yet: with row locks alone several would add it and all but one fail."""
    engine = engine_for(postgres_url)
    migrate(engine)
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(CatalogDocuments(engine).identity())) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    engine.dispose()


def test_a_server_that_is_not_there_is_said_to_be_unavailable() -> None:
    with pytest.raises(CatalogUnavailable, match="cannot be used just now"):
        CatalogReleases(engine_for("postgresql://ratchet@127.0.0.1:1/ratchet")).standing("default")


def test_another_database_is_refused_by_name() -> None:
    with pytest.raises(BadSetting, match="there are sqlite and postgresql"):
        engine_for("mssql+pyodbc://host/ratchet")
