"""How often a survey's measuring was begun: one that kills its workers is given up.

Revision: 0007, after 0006. A default that is constant is no rewrite of a table, and holds for rows that an
older version writes. Surveyors of an older version go on with cells, but leave measuring to newer ones.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column(
        "survey",
        sa.Column("measuring_attempts", sa.Integer(), nullable=False, server_default="0"),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_column("survey", "measuring_attempts")
