"""Several names may stand for one orthophoto: unique in a survey is a name, no longer its content.

Revision: 0006, after 0005.
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# The name that a file is shown under is the one to stay.
FORGET_FURTHER_NAMES = """
    DELETE FROM orthophoto AS further USING orthophoto AS first
    WHERE further.survey_id = first.survey_id AND further.sha256 = first.sha256
      AND further.name COLLATE "C" > first.name COLLATE "C"
"""


def upgrade() -> None:
    """Find content as fast as before, but let it have many rows."""
    op.drop_constraint("uq_orthophoto_survey_id_sha256", "orthophoto")
    op.create_index("ix_orthophoto_survey_id_sha256", "orthophoto", ["survey_id", "sha256"])


def downgrade() -> None:
    """Leave each file one name."""
    op.execute(FORGET_FURTHER_NAMES)
    op.drop_index("ix_orthophoto_survey_id_sha256", "orthophoto")
    op.create_unique_constraint(
        "uq_orthophoto_survey_id_sha256", "orthophoto", ["survey_id", "sha256"]
    )
