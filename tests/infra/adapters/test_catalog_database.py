from pathlib import Path

import pytest

from infra.adapters.catalog.database import engine_for, reading
from infra.adapters.catalog.migrate import migrate
from tasks.core.errors import CatalogUnavailable


def test_a_catalog_that_stays_locked_is_said_to_be_unavailable_and_readers_do_not_wait(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'catalog.sqlite'}"
    migrate(engine_for(url))
    hasty = engine_for(url, busy_seconds=0.05)
    with engine_for(url).begin() as writer:
        writer.exec_driver_sql("DELETE FROM assistants")
        with pytest.raises(CatalogUnavailable, match="locked"), hasty.begin():
            pass
        with reading(hasty).begin() as reader:
            assert reader.exec_driver_sql("SELECT count(*) FROM assistants").scalar() == 0


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(CatalogUnavailable, match="RATCHET_HOME"):
        engine_for(f"sqlite:///{tmp_path / 'file' / 'home' / 'catalog.sqlite'}")


def test_a_damaged_file_is_named_and_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "catalog.sqlite"
    file.write_bytes(b"not a database at all " * 100)
    with pytest.raises(CatalogUnavailable, match="not a database"):
        migrate(engine_for(f"sqlite:///{file}"))
    assert file.read_bytes().startswith(b"not a database")


def test_a_folder_in_the_place_of_the_catalog_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "catalog.sqlite").mkdir()
    with pytest.raises(CatalogUnavailable, match="unable to open"):
        migrate(engine_for(f"sqlite:///{tmp_path / 'catalog.sqlite'}"))
