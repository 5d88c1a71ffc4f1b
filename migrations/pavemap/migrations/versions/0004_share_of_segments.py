"""How many of all segments a box may hold, from PostGIS's statistics; null where there are none yet.

Revision: 0004, after 0003. PostGIS fails without statistics, as in a database that was just restored.
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SHARE = """
CREATE FUNCTION share_of_segments(area geometry) RETURNS float8 LANGUAGE plpgsql STABLE STRICT AS $$
BEGIN
    RETURN _postgis_selectivity('segment', 'geom', area);
EXCEPTION WHEN internal_error THEN
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    """Make the function."""
    op.execute(SHARE)


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP FUNCTION share_of_segments(geometry)")
