"""Anchors, what a promotion was decided by, and what judges and people said of answers."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

APPEND_ONLY = ("promotions", "anchors")  # a migration that makes one of these tables anew has to say this again


def upgrade() -> None:
    op.add_column("promotions", sa.Column("overridden", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("promotions", sa.Column("approved_by", sa.String(length=160), nullable=True))
    op.add_column("promotions", sa.Column("rehearsal", sa.JSON(), nullable=True))
    op.create_table(
        "anchors",
        sa.Column("seq", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("assistant", sa.String(length=63), nullable=False),
        sa.Column("release", sa.String(length=32), nullable=False),
        sa.Column("who", sa.String(length=160), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_anchors")),
    )
    op.create_index(op.f("ix_anchors_assistant"), "anchors", ["assistant"])
    op.create_table(
        "judgements",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("scores", sa.JSON(), nullable=False),
        sa.Column("cost_usd", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_judgements")),
    )
    op.create_table(
        "human_judgements",
        sa.Column("assistant", sa.String(length=63), nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("metric", sa.String(length=32), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("ideal", sa.Text(), nullable=False),
        sa.Column("contexts", sa.JSON(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("who", sa.String(length=160), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("assistant", "id", name=op.f("pk_human_judgements")),
    )
    for table in APPEND_ONLY:
        _refuse_changes(table)


def _refuse_changes(table: str) -> None:
    """History is added to and never changed, whoever holds the connection."""
    why = f"{table} is append-only"
    if op.get_bind().dialect.name == "sqlite":
        for what in ("UPDATE", "DELETE"):
            name = f"{table}_refuse_{what.lower()}"
            op.execute(f"CREATE TRIGGER {name} BEFORE {what} ON {table} BEGIN SELECT RAISE(ABORT, '{why}'); END")
        return
    op.execute(
        f"CREATE FUNCTION {table}_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"RAISE EXCEPTION '{why}' USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_refuse()"
    )
