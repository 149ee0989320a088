"""What an erasure and `hooksift show` look up by delivery, event and enrichment.

Revision ID: 0003
Revises: 0002
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

INDEXES = (
    ("redeliveries_delivery", "redeliveries", "delivery_id"),
    ("own_tags_event", "own_tags", "event_id"),
    ("reuse_enrichment", "reuse", "enrichment_id"),
)


def upgrade() -> None:
    for name, table, column in INDEXES:
        op.create_index(name, table, [column])


def downgrade() -> None:
    for name, table, _ in INDEXES:
        op.drop_index(name, table)
