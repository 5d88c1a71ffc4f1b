"""R 85's extents as json: pages of segments hand them on as text, and nothing looks into them.

Revision: 0003, after 0002. Rewrites the table of conditions: about a minute for a million rows.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Keep the text."""
    op.execute("ALTER TABLE condition ALTER COLUMN r85 TYPE json USING r85::json")


def downgrade() -> None:
    """Take it apart again."""
    op.execute("ALTER TABLE condition ALTER COLUMN r85 TYPE jsonb USING r85::jsonb")
