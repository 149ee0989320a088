"""SQLite's newest dedup keys in a table of their own, in the order they come.

Revision ID: 0004
Revises: 0003
"""

import struct

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name != "sqlite":
        return
    op.create_table(
        "dedup_recent",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("keys", sa.LargeBinary(), nullable=False),
    )
    op.execute("INSERT INTO store_facts (name, number, value) VALUES ('dedup_move', 0, '-1')")


def downgrade() -> None:
    bind = op.get_bind()
    if bind.dialect.name != "sqlite":
        return
    key = struct.Struct(">16sqq")
    insert = sa.text(
        "INSERT INTO dedup_keys (digest, delivery_id, expires_at)"
        " VALUES (:digest, :delivery_id, :expires_at) ON CONFLICT (digest) DO UPDATE"
        " SET delivery_id = excluded.delivery_id, expires_at = excluded.expires_at"
        " WHERE dedup_keys.expires_at < excluded.expires_at"
    )
    columns = ("digest", "delivery_id", "expires_at")
    for (packed,) in bind.execute(sa.text("SELECT keys FROM dedup_recent ORDER BY id")).all():
        rows = [dict(zip(columns, values, strict=True)) for values in key.iter_unpack(packed)]
        bind.execute(insert, rows)
    op.execute("DELETE FROM store_facts WHERE name = 'dedup_move'")
    op.drop_table("dedup_recent")
