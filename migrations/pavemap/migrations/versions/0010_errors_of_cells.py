"""How often a cell ended in an error of its own: workers that died at it don't count against it there.

Revision: 0010, after 0009. A default that is constant is no rewrite of a table, and holds for rows that an
older version writes. Surveyors of an older version count claims in its place.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column(
        "cell",
        sa.Column("errors", sa.Integer(), nullable=False, server_default="0"),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_column("cell", "errors")
