"""Finds the same stretch of road in another network: pages of change went through all pairs of segments.

Revision: 0013, after 0012.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index, and the statistics by which it is chosen."""
    op.create_index(
        "ix_segment_stretch", "segment", ["network_id", sa.text("coalesce(lineage, id)")]
    )
    op.execute("ANALYZE segment")


def downgrade() -> None:
    """Drop it."""
    op.drop_index("ix_segment_stretch", table_name="segment")
