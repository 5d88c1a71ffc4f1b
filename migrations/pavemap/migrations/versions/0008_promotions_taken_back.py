"""Which promotion a rollback took back, so that the next one goes further and not forth again.

Revision: 0008, after 0007. Rollbacks of older versions stay promotions like others.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, its key and its index."""
    op.add_column("model_promotion", sa.Column("takes_back", sa.BigInteger(), nullable=True))
    op.create_foreign_key(
        op.f("fk_model_promotion_takes_back"),
        "model_promotion",
        "model_promotion",
        ["takes_back"],
        ["id"],
    )
    op.create_index("ix_model_promotion_takes_back", "model_promotion", ["takes_back"])


def downgrade() -> None:
    """Drop them."""
    op.drop_column("model_promotion", "takes_back")
