"""Counts the ground that was seen in too coarse imagery with its cell, and forgets what nobody reads.

Revision: 0014, after 0013. How much of it there is in cells that were surveyed before is not known: null.
Whether a road is one-way may be unknown from now on.
Surveyors of an older version can't store cells from now on, and fail them after some attempts: run the
survey again when they are gone.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the one column and drop the others."""
    op.add_column("cell_segment", sa.Column("coarse_m2", sa.Double(), nullable=True))
    op.drop_column("cell_segment", "cracked_m2")
    op.drop_column("cell", "seconds")
    for table in ("road", "segment"):  # null: the file did not say
        op.alter_column(table, "oneway", nullable=True, server_default=None)


def downgrade() -> None:
    """Bring the columns back, empty; a road that was not said to be one-way is two-way again."""
    for table in ("road", "segment"):
        op.execute(f"UPDATE {table} SET oneway = false WHERE oneway IS NULL")
        op.alter_column(table, "oneway", nullable=False, server_default="false")
    op.add_column(
        "cell",
        sa.Column("seconds", postgresql.JSONB(), nullable=False, server_default="{}"),
    )
    op.add_column(
        "cell_segment", sa.Column("cracked_m2", sa.Double(), nullable=False, server_default="0")
    )
    op.alter_column("cell_segment", "cracked_m2", server_default=None)
    op.drop_column("cell_segment", "coarse_m2")
