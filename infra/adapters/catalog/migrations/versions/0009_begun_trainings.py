"""What the model of a paid training is registered with, kept before it begins; those under way keep working without."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("trainings", sa.Column("begun", sa.JSON(), nullable=True))
