"""Figures as reviewed: whether a survey's heed its reviews, and which; cracks that a reviewer drew.

Revision: 0016, after 0015. The figures of surveys that are there stay as they were found.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; a crack that no model found names none."""
    op.add_column(
        "survey", sa.Column("heeds_reviews", sa.Boolean(), server_default="false", nullable=False)
    )
    op.add_column("survey", sa.Column("heeded_reviews", sa.Integer(), nullable=True))
    op.add_column("survey", sa.Column("heeded_digest", sa.Text(), nullable=True))
    op.alter_column("crack", "model_id", nullable=True)


def downgrade() -> None:
    """Take them away: figures that heeded reviews stay until their survey is measured again."""
    op.execute(
        "UPDATE crack SET model_id = survey.model_id FROM survey "
        "WHERE crack.model_id IS NULL AND survey.id = crack.survey_id"
    )
    op.alter_column("crack", "model_id", nullable=False)
    op.drop_column("survey", "heeded_digest")
    op.drop_column("survey", "heeded_reviews")
    op.drop_column("survey", "heeds_reviews")
