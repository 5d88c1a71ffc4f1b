"""What 16 bit values become black and white, the same in all imagery of a survey.

Revision: 0009, after 0008. Null, as in surveys that were planned before, leaves that to each cell's files;
such a survey gets its own when it is run again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("survey", sa.Column("stretch", JSONB(), nullable=True))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("survey", "stretch")
