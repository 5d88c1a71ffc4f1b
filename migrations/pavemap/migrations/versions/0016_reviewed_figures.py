"""Figures as reviewed: whether a survey's heed its reviews, and which; cracks that a reviewer drew.

Revision: 0016, after 0015. The figures of surveys that are there stay as they were found.
"""

from __future__ import annotations

import numpy as np
import shapely
import sqlalchemy as sa
from alembic import op

from pavemap.geo.lines.line_digest import line_digests

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
    op.add_column("crack", sa.Column("found_digest", sa.Text(), nullable=True))
    _note_cracks_of_reviews()


def _note_cracks_of_reviews() -> None:
    """Note in reviews from before 0011, which know numbers alone, the courses of cracks still there."""
    connection = op.get_bind()
    rows = connection.execute(
        sa.text(
            "SELECT r.survey_id, r.id, ST_AsBinary(c.geom) AS line FROM review r "
            "JOIN crack c ON c.survey_id = r.survey_id AND c.id = r.crack_id "
            "WHERE r.crack_digest IS NULL"
        )
    ).all()
    lines = shapely.from_wkb(np.array([row.line for row in rows], dtype=object))
    for row, digest in zip(rows, line_digests(lines), strict=True):
        connection.execute(
            sa.text(
                "UPDATE review SET crack_digest = :digest WHERE survey_id = :survey_id AND id = :id"
            ),
            {"digest": digest, "survey_id": row.survey_id, "id": row.id},
        )


def downgrade() -> None:
    """Take them away: figures that heeded reviews stay until their survey is measured again."""
    op.execute(
        "UPDATE crack SET model_id = survey.model_id FROM survey "
        "WHERE crack.model_id IS NULL AND survey.id = crack.survey_id"
    )
    op.drop_column("crack", "found_digest")
    op.alter_column("crack", "model_id", nullable=False)
    op.drop_column("survey", "heeded_digest")
    op.drop_column("survey", "heeded_reviews")
    op.drop_column("survey", "heeds_reviews")
