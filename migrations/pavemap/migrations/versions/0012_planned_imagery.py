"""Which imagery a survey's cells were planned from, so that one whose files changed since is told apart.

Revision: 0012, after 0011. Of surveys from before it isn't known, and nothing is said.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("survey", sa.Column("planned_imagery", sa.Text(), nullable=True))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("survey", "planned_imagery")
