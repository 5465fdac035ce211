"""Whose catalog this is, globs of sources, digests of documents, retries of quarantined files, probes of releases."""

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "catalog_identity",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_catalog_identity")),
    )
    op.create_table(
        "probes",
        sa.Column("assistant", sa.String(length=63), nullable=False),
        sa.Column("release", sa.String(length=32), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("expected", sa.JSON(), nullable=False),
        sa.Column("found", sa.JSON(), nullable=True),
        sa.Column("checked_at", sa.String(length=32), nullable=True),
        sa.PrimaryKeyConstraint("assistant", "release", "seq", name=op.f("pk_probes")),
    )
    op.add_column("sources", sa.Column("include", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("sources", sa.Column("exclude", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("documents", sa.Column("digest", sa.String(length=64), nullable=False, server_default=""))
    op.add_column("documents", sa.Column("chunk_count", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("documents", sa.Column("pipeline", sa.String(length=128), nullable=False, server_default=""))
    op.add_column("quarantine", sa.Column("tries", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("quarantine", sa.Column("retry_at", sa.Float(), nullable=True))
    op.add_column("snapshots", sa.Column("reclaimed_at", sa.String(length=32), nullable=True))
    # The planner took these for "died IS NULL", and so went through everything that is alive to find one chunk.
    for table in ("chunks", "documents"):
        op.drop_index(op.f(f"ix_{table}_assistant_died"), table_name=table)
    _digest_documents()


def _digest_documents() -> None:
    names = ("assistant", "uri", "born", "content_hash")
    documents = sa.table(
        "documents",
        *(sa.column(name) for name in (*names, "digest", "chunk_count")),
        sa.column("chunk_ids", sa.JSON()),
    )
    connection = op.get_bind()
    for row in connection.execute(sa.select(documents)).all():
        spelled = json.dumps([row.uri, row.content_hash, row.chunk_ids], separators=(",", ":"), ensure_ascii=False)
        this = (documents.c[name] == getattr(row, name) for name in names)
        digest = hashlib.sha256(spelled.encode()).hexdigest()
        connection.execute(documents.update().where(*this).values(digest=digest, chunk_count=len(row.chunk_ids)))
