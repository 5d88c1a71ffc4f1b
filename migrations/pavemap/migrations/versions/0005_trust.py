"""How far lines can be trusted: probability along them, and the share of a fragment that is sure.

Revision: 0005, after 0004. Of fragments kept before, all of each counts towards the least length of a
network, as it did. Null, and a default that is constant, are no rewrite of a table.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    for table in ("fragment", "crack"):
        op.add_column(table, sa.Column("confidence", sa.Double(), nullable=True))
    op.add_column(
        "fragment", sa.Column("sure_share", sa.Double(), nullable=False, server_default="1")
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_column("fragment", "sure_share")
    for table in ("crack", "fragment"):
        op.drop_column(table, "confidence")
