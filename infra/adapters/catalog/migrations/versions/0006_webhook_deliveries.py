"""Which webhooks were taken, and which notices are told together."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("outbox", sa.Column("telling", sa.String(length=160), nullable=True))
    op.create_table(
        "webhook_deliveries",
        sa.Column("route", sa.String(length=16), nullable=False),
        sa.Column("mark", sa.String(length=160), nullable=False),
        sa.Column("received_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("route", "mark", name=op.f("pk_webhook_deliveries")),
    )
    op.create_index(op.f("ix_webhook_deliveries_received_at"), "webhook_deliveries", ["received_at"])
