"""A catalog that an older version wrote goes on where it was."""

from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, text

from infra.adapters.catalog import migrate as migrations
from infra.adapters.catalog.database import engine_for
from infra.adapters.catalog.documents import CatalogDocuments
from infra.adapters.catalog.hosted_jobs import CatalogHostedJobs
from infra.adapters.catalog.migrate import migrate
from infra.adapters.catalog.retention import CatalogRetention
from infra.adapters.catalog.tables import metadata
from infra.adapters.catalog.training import CatalogTrainings
from tasks.core.fingerprints import document_digest
from tasks.hosted_collecting import owed_jobs

FIRST_DOCUMENT = """
    INSERT INTO documents (assistant, uri, born, died, source, content_hash, chunk_ids)
    VALUES ('default', 'größe.md', 1, NULL, 'docs', 'abc', '["c1", "c2"]')
"""
FIRST_TRAINING = """
    INSERT INTO trainings (assistant, id, state, label_ids, started_at)
    VALUES ('default', 't-1', 'running', '["l-1"]', 'then')
"""
FIRST_JOB = """
    INSERT INTO hosted_jobs
    (assistant, intent, base, method, file_ids, job, state, tokens, cost_usd, details, created_at, updated_at)
    VALUES ('default', 't-1', 'gpt', 'supervised', '{}', 'ftjob-1', 'running', 1, 0.5, :details, 'then', 'then')
"""
FIRST_DETAILS = '{"begun_at": 7.0, "wanted": ["sha"], "attempt": 1, "creates": 1, "webhooks": [], "checkpoints": []}'
FIRST_SOURCE = "INSERT INTO sources (assistant, name, uri, added_at) VALUES ('default', 'docs', '/docs', 'then')"


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with nothing in it."""
    sqlite = request.param == "sqlite"
    return f"sqlite:///{tmp_path / 'catalog.sqlite'}" if sqlite else request.getfixturevalue("postgres_url")


def at_revision(url: str, revision: str) -> Engine:
    engine = engine_for(url)
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    return engine


def test_documents_and_sources_of_the_first_schema_are_carried_over(new_url: str) -> None:
    engine = at_revision(new_url, "0001")
    with engine.begin() as connection:
        connection.execute(text(FIRST_DOCUMENT))
        connection.execute(text(FIRST_SOURCE))
    migrate(engine)
    catalog = CatalogDocuments(engine)
    (document,) = catalog.documents("default", 1)
    assert document.digest == document_digest("größe.md", "abc", ["c1", "c2"])
    assert document.chunk_count == 2
    (source,) = catalog.sources("default")
    assert (source.uri, source.include, source.exclude) == ("/docs", (), ())
    engine.dispose()


def test_a_catalog_keeps_its_identity_and_no_two_share_one(tmp_path: Path) -> None:
    names = ["one", "two"]
    catalogs = []
    for name in names:
        (tmp_path / name).mkdir()
        catalogs.append(at_revision(f"sqlite:///{tmp_path / name / 'catalog.sqlite'}", "head"))
    first, second = (CatalogDocuments(engine).identity() for engine in catalogs)
    assert first != second
    assert CatalogDocuments(catalogs[0]).identity() == first
    for engine in catalogs:
        engine.dispose()


def test_the_migrations_end_in_the_schema_that_the_tables_say(new_url: str) -> None:
    engine = engine_for(new_url)
    migrate(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() == migrations.HEAD
    engine.dispose()


def test_a_job_at_a_vendor_that_an_older_version_began_is_still_there_and_can_be_followed(new_url: str) -> None:
    engine = at_revision(new_url, "0008")
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO assistants (name, created_at) VALUES ('default', 'then')"))
        connection.execute(text(FIRST_TRAINING))
        connection.execute(text(FIRST_JOB), {"details": FIRST_DETAILS})
    migrate(engine)
    trainings, jobs = CatalogTrainings(engine), CatalogHostedJobs(engine)
    [job] = jobs.jobs("default")
    assert (job.state, job.job, job.beside) == ("running", "ftjob-1", False)
    assert trainings.begun("default", "t-1") is None
    assert owed_jobs(trainings, jobs, "default", "supervised") == []  # nothing is known to register its model with
    assert CatalogRetention(engine).named_artifacts() == frozenset()
    engine.dispose()
