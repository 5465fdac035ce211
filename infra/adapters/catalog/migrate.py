"""Brings a catalog to the schema this version needs."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, inspect

from infra.adapters.catalog.database import reading
from tasks.core.errors import CannotRetry

HEAD = "0009"  # the newest revision under migrations/versions; a test keeps it true


class CatalogFromNewerVersion(CannotRetry):
    """The catalog was written by a newer Ratchet than this one."""


def migrate(engine: Engine) -> None:
    """Upgrades to HEAD in one transaction; when it is there already, costs one query and does not import Alembic."""
    found = _revision(engine)
    if found == HEAD:
        return
    if found is not None and found > HEAD:
        raise CatalogFromNewerVersion(
            f"The catalog is at revision {found}, this version of ratchet knows {HEAD}. Upgrade ratchet.",
            found=found,
            known=HEAD,
        )
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _revision(engine: Engine) -> str | None:
    with reading(engine).begin() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
