"""Which crack a review is about, by its course: its number is another when the survey is measured again.

Revision: 0011, after 0010. Reviews from before have none; their cracks are known as they were.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column and its index."""
    op.add_column("review", sa.Column("crack_digest", sa.Text(), nullable=True))
    op.create_index("ix_review_crack_digest", "review", ["survey_id", "crack_digest"])


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_review_crack_digest", table_name="review")
    op.drop_column("review", "crack_digest")
