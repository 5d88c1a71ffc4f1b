"""Which storage the database's imagery lies in, so that an empty folder is not taken for it.

Revision: 0015, after 0014. A database whose storage has imagery takes note of it when it is used next: no
row means that none was used yet.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, of one row at most."""
    op.create_table(
        "storage_identity",
        sa.Column("sole", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.PrimaryKeyConstraint("sole", name=op.f("pk_storage_identity")),
        sa.CheckConstraint("sole", name=op.f("ck_storage_identity_sole")),
    )


def downgrade() -> None:
    """Drop it; what is in the storage stays, and is taken note of again."""
    op.drop_table("storage_identity")
