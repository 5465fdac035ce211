"""Every artifact with saved answers, whoever's model it was, and not the newest of each hosted job alone."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "saved_answers",
        sa.Column("assistant", sa.String(length=63), nullable=False),
        sa.Column("release", sa.String(length=32), nullable=False),
        sa.Column("artifact", sa.String(length=80), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("assistant", "release", "artifact", name=op.f("pk_saved_answers")),
    )
