"""How much of a fragment's length counts towards the least length of a network; so far all of it did.

Revision: 0005, after 0004. A default that is constant is no rewrite of the table.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column(
        "fragment", sa.Column("sure_share", sa.Double(), nullable=False, server_default="1")
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_column("fragment", "sure_share")
