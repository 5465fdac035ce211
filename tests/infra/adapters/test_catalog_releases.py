from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from infra.adapters.catalog import migrate as migration
from infra.adapters.catalog.anchors import CatalogAnchors
from infra.adapters.catalog.migrate import CatalogFromNewerVersion, migrate
from infra.adapters.catalog.releases import CatalogReleases
from infra.adapters.catalog.tables import metadata
from tasks.core.errors import NotFound
from tasks.core.pace import Blessing
from tasks.core.releases import ModelRef, PromptSpec, ReleaseManifest, RetrievalSettings, SnapshotRef


@pytest.fixture
def engine(catalog_engine: Engine) -> Engine:
    return catalog_engine


def manifest(snapshot: int = 1) -> ReleaseManifest:
    return ReleaseManifest(
        assistant="default",
        snapshot=SnapshotRef(number=snapshot, manifest_hash="ab" * 32, collection="default-1"),
        model=ModelRef(kind="base", base="tiny", base_digest="sha256-0"),
        prompt=PromptSpec(system="Answer.", abstention="The documents do not say."),
        retrieval=RetrievalSettings(),
        pattern="rag",
    )


def move(catalog: CatalogReleases, release: str, expected: str | None, kind: str = "promote") -> bool:
    row = catalog.move_pointer(
        "default", release, expected=expected, kind=kind, evaluation=None, unproven=False, who="ann", reason="why"
    )
    return row is not None


def test_migrations_make_exactly_the_tables_the_code_uses(engine: Engine) -> None:
    with engine.begin() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_head_is_the_newest_migration() -> None:
    scripts = ScriptDirectory(str(Path(migration.__file__).parent / "migrations"))
    assert scripts.get_heads() == [migration.HEAD]


def test_a_catalog_from_a_newer_version_is_refused(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(CatalogFromNewerVersion, match="Upgrade ratchet"):
        migrate(engine)


def test_an_equal_manifest_is_the_same_release(engine: Engine) -> None:
    catalog = CatalogReleases(engine)
    first = catalog.register(manifest(), "first")
    assert catalog.register(manifest(), "again") == first
    assert catalog.release("default", first.id).manifest == manifest()
    assert [row.id for row in catalog.releases("default")] == [first.id]


def test_an_unknown_release_is_named(engine: Engine) -> None:
    with pytest.raises(NotFound, match="r-nothing"):
        CatalogReleases(engine).release("default", "r-nothing")


def test_the_pointer_moves_only_from_what_was_expected(engine: Engine) -> None:
    catalog = CatalogReleases(engine)
    one, two = (catalog.register(manifest(n), "x").id for n in (1, 2))
    assert move(catalog, one, expected=None)
    assert not move(catalog, two, expected=None)
    assert catalog.standing("default").release == one
    assert len(catalog.history("default")) == 1
    assert move(catalog, two, expected=one)
    assert [(p.release, p.previous) for p in catalog.history("default")] == [(one, None), (two, one)]


def test_of_many_promotions_at_once_one_wins_and_one_row_is_written(engine: Engine) -> None:
    catalog = CatalogReleases(engine)
    start, *others = [catalog.register(manifest(n), "x").id for n in range(1, 10)]
    move(catalog, start, expected=None)
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda release: move(catalog, release, expected=start), others))
    assert sum(won) == 1
    assert len(catalog.history("default")) == 2
    assert catalog.standing("default").release == others[won.index(True)]


def test_a_promotion_decided_before_something_else_happened_does_not_move_the_pointer(engine: Engine) -> None:
    """One was replaced and came back: the pointer says nothing of that, the history does."""
    catalog = CatalogReleases(engine)
    one, two = (catalog.register(manifest(n), "x").id for n in (1, 2))
    move(catalog, one, expected=None)
    [seen] = catalog.history("default")
    move(catalog, two, expected=one)
    move(catalog, one, expected=two, kind="rollback")
    late = {"expected": one, "kind": "promote", "evaluation": None, "unproven": False, "who": "ann", "reason": "why"}
    assert catalog.move_pointer("default", two, newest=seen.seq, **late) is None  # type: ignore[arg-type]
    assert catalog.standing("default").release == one
    assert catalog.move_pointer("default", two, newest=catalog.history("default")[-1].seq, **late)  # type: ignore[arg-type]


def test_the_history_keeps_what_was_accepted_who_approved_and_how_it_answered(engine: Engine) -> None:
    catalog = CatalogReleases(engine)
    one = catalog.register(manifest(), "x").id
    blessing = Blessing("http://here, http://there", 8, 7, 3.25, warmed=True)
    made = catalog.move_pointer(
        "default",
        one,
        expected=None,
        kind="promote",
        evaluation="e-1",
        unproven=False,
        who="ann",
        reason="why",
        newest=0,
        overridden=("no-harm-correct", "fresh"),
        approved_by="eve",
        rehearsal=blessing,
    )
    assert made is not None
    assert (made.overridden, made.approved_by, made.rehearsal) == (("no-harm-correct", "fresh"), "eve", blessing)
    assert catalog.history("default") == [made]


@pytest.mark.parametrize("table", ["promotions", "anchors"])
@pytest.mark.parametrize("change", ["UPDATE {} SET who = 'nobody'", "DELETE FROM {}"])
def test_nobody_changes_what_the_history_says(engine: Engine, table: str, change: str) -> None:
    catalog = CatalogReleases(engine)
    one = catalog.register(manifest(), "x").id
    move(catalog, one, expected=None)
    kept = (catalog.history("default"), CatalogAnchors(engine).anchorings("default"))
    with pytest.raises(IntegrityError, match=f"{table} is append-only"), engine.begin() as connection:
        connection.exec_driver_sql(change.format(table))
    assert (catalog.history("default"), CatalogAnchors(engine).anchorings("default")) == kept
    assert all(kept)


def test_the_release_id_is_the_hash_of_the_whole_manifest() -> None:
    same, other = manifest(), manifest(2)
    assert same.id == manifest().id != other.id
    assert same.id != manifest().model_copy(update={"pattern": "sequential"}).id
