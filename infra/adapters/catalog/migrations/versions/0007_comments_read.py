"""When a comment on an answer was read in review; those there are were shown nowhere, and are not."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("feedback", sa.Column("read_at", sa.String(length=32), nullable=True))
