"""Reviews of cracks, and the areas that were reviewed whole.

Revision: 0002, after 0001.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from geoalchemy2 import Geometry

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the two tables."""
    op.create_table(
        "review",
        *key(),
        column("verdict", sa.Text()),
        sa.Column("crack_id", sa.BigInteger(), nullable=True),
        column("geom", geometry("LINESTRINGZ", dimension=3)),
        column("width_mm", sa.Double()),
        *who_and_when(),
        sa.CheckConstraint(
            "verdict IN ('confirmed', 'rejected', 'drawn')", name=op.f("ck_review_verdict")
        ),
        *constraints("review"),
    )
    op.create_index("ix_review_crack_id", "review", ["survey_id", "crack_id"])
    op.create_index("ix_review_geom", "review", ["geom"], postgresql_using="gist")
    op.create_table(
        "reviewed_area",
        *key(),
        column("geom", geometry("MULTIPOLYGON", dimension=2)),
        *who_and_when(),
        *constraints("reviewed_area"),
    )
    op.create_index("ix_reviewed_area_geom", "reviewed_area", ["geom"], postgresql_using="gist")


def downgrade() -> None:
    """Drop both, with all that reviewers said."""
    op.drop_table("reviewed_area")
    op.drop_table("review")


def column(name: str, kind: Any, *, default: str | None = None) -> sa.Column[Any]:
    """A column that is never null."""
    return sa.Column(name, kind, server_default=default, nullable=False)


def key() -> tuple[sa.Column[Any], ...]:
    """The survey, and a number that the database gives unless one is brought along."""
    return (
        column("survey_id", sa.UUID()),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
    )


def who_and_when() -> tuple[sa.Column[Any], ...]:
    """What both kinds of review say besides the place."""
    now = sa.text("now()")
    return (
        column("digest", sa.Text()),
        column("reviewer", sa.Text(), default=""),
        column("note", sa.Text(), default=""),
        sa.Column("reviewed_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
    )


def constraints(table: str) -> tuple[sa.Constraint, ...]:
    """Keys of both tables: each place once in a survey, gone with its survey."""
    return (
        sa.PrimaryKeyConstraint("survey_id", "id", name=f"pk_{table}"),
        sa.UniqueConstraint("survey_id", "digest", name=f"uq_{table}_survey_id_digest"),
        sa.ForeignKeyConstraint(
            ["survey_id"], ["survey.id"], name=f"fk_{table}_survey_id", ondelete="CASCADE"
        ),
    )


def geometry(kind: str, *, dimension: int) -> Any:
    """A WGS 84 geometry type."""
    return Geometry(kind, srid=4326, dimension=dimension, spatial_index=False)
