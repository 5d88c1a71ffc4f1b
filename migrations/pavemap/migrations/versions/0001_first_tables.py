"""Networks, surveys, the work on their cells, and the results.

Revision: 0001, the first.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from geoalchemy2 import Geometry
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    *("model_version", "model_promotion", "network", "road", "segment", "survey", "orthophoto"),
    *("cell", "worker", "fragment", "cell_segment", "crack", "piece", "condition"),
    "training_job",
)

# Cracks and pieces, too many for foreign keys, leave with their survey in one statement each.
WITH_THEIR_SURVEY = (
    """
    CREATE FUNCTION forget_cracks() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        DELETE FROM piece USING gone WHERE piece.survey_id = gone.id;
        DELETE FROM crack USING gone WHERE crack.survey_id = gone.id;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER forget_cracks AFTER DELETE ON survey
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION forget_cracks()
    """,
)

# A condition knows where its segment lies, so that an index on places answers alone.
PLACED = (
    """
    CREATE FUNCTION place_condition() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.place := (SELECT box(geom) FROM segment WHERE id = NEW.segment_id);
        RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER place_condition BEFORE INSERT ON condition
    FOR EACH ROW EXECUTE FUNCTION place_condition()
    """,
)


def upgrade() -> None:
    """Make all tables; PostGIS, and GiST over plain columns, first, where they are missing."""
    op.execute("CREATE EXTENSION IF NOT EXISTS postgis")
    op.execute("CREATE EXTENSION IF NOT EXISTS btree_gist")
    make_networks()
    make_surveys()
    make_work()
    make_results()
    make_training()
    for statement in (*WITH_THEIR_SURVEY, *PLACED):
        op.execute(statement)


def downgrade() -> None:
    """Drop all tables; the extensions stay, others may use them."""
    for table in reversed(TABLES):
        op.drop_table(table)
    op.execute("DROP FUNCTION forget_cracks()")
    op.execute("DROP FUNCTION place_condition()")


def make_networks() -> None:
    """Networks, roads and segments."""
    op.create_table(
        "network",
        uuid_key(),
        column("name", sa.Text()),
        column("digest", sa.Text()),
        column("source_crs", sa.Text()),
        column("segment_length_m", sa.Double(), nullable=True),
        column("segments_by", sa.Text(), default="length"),
        column("replaces", sa.UUID(), nullable=True),
        column("road_count", sa.Integer()),
        column("segment_count", sa.Integer()),
        column("length_m", sa.Double()),
        column("extent", geometry("POLYGON")),
        column("report", postgresql.JSONB()),
        moment("created_at"),
        primary_key("network", "id"),
        unique("network", "name"),
        reference("network", "replaces", "network.id", ondelete="SET NULL"),
    )
    op.create_index("ix_network_replaces", "network", ["replaces"])
    op.create_table(
        "road",
        number(),
        column("network_id", sa.UUID()),
        column("road_key", sa.Text()),
        column("name", sa.Text()),
        column("width_m", sa.Double()),
        *road_facts(),
        column("geom", geometry("LINESTRING")),
        primary_key("road", "id"),
        unique("road", "network_id", "road_key"),
        reference("road", "network_id", "network.id"),
    )
    spatial_index("road", "geom")
    op.create_table(
        "segment",
        number(),
        column("network_id", sa.UUID()),
        column("road_id", sa.BigInteger()),
        column("segment_key", sa.Text()),
        column("name", sa.Text()),
        column("from_m", sa.Double()),
        column("to_m", sa.Double()),
        column("length_m", sa.Double()),
        column("width_m", sa.Double()),
        *road_facts(),
        column("lineage", sa.BigInteger(), nullable=True),
        column("pavement_m2", sa.Double()),
        column("geom", geometry("LINESTRING")),
        column("pavement", geometry("MULTIPOLYGON")),
        primary_key("segment", "id"),
        unique("segment", "network_id", "segment_key"),
        reference("segment", "network_id", "network.id"),
        reference("segment", "road_id", "road.id"),
    )
    op.create_index("ix_segment_road_id", "segment", ["road_id"])
    spatial_index("segment", "geom")
    spatial_index("segment", "pavement")
    known = sa.text("lineage IS NOT NULL")
    op.create_index("ix_segment_lineage", "segment", ["lineage"], postgresql_where=known)


def make_surveys() -> None:
    """Model versions, surveys and their imagery."""
    op.create_table(
        "model_version",
        column("id", sa.Text()),
        column("name", sa.Text()),
        column("digest", sa.Text()),
        column("card", postgresql.JSONB()),
        column("uri", sa.Text()),
        moment("created_at"),
        primary_key("model_version", "id"),
    )
    op.create_table(
        "model_promotion",
        number(),
        column("model_id", sa.Text()),
        column("former_id", sa.Text(), nullable=True),
        column("forced", sa.Boolean()),
        column("comparison", postgresql.JSONB()),
        moment("promoted_at"),
        primary_key("model_promotion", "id"),
        reference("model_promotion", "model_id", "model_version.id", ondelete=None),
        reference("model_promotion", "former_id", "model_version.id", ondelete=None),
    )
    op.create_index("ix_model_promotion_model_id", "model_promotion", ["model_id"])
    op.create_index("ix_model_promotion_former_id", "model_promotion", ["former_id"])
    op.create_table(
        "survey",
        uuid_key(),
        column("name", sa.Text()),
        column("network_id", sa.UUID()),
        column("model_id", sa.Text()),
        column("captured_on", sa.Date(), nullable=True),
        column("crs", sa.Text()),
        column("gsd_m", sa.Double()),
        column("cell_px", sa.Integer()),
        column("halo_px", sa.Integer()),
        column("params", postgresql.JSONB()),
        column("measures", postgresql.JSONB(), default="{}"),
        column("position_rmse_m", sa.Double(), nullable=True),
        column("state", sa.Text(), default="created"),
        column("epoch", sa.BigInteger(), default="0"),
        column("lease_owner", sa.Text(), nullable=True),
        column("lease_until", sa.DateTime(timezone=True), nullable=True),
        column("error", sa.Text(), default=""),
        moment("created_at"),
        column("started_at", sa.DateTime(timezone=True), nullable=True),
        column("finished_at", sa.DateTime(timezone=True), nullable=True),
        state_check("survey", "created", "running", "measuring", "done", "failed"),
        primary_key("survey", "id"),
        reference("survey", "network_id", "network.id", ondelete=None),
        reference("survey", "model_id", "model_version.id", ondelete=None),
    )
    op.create_index("ix_survey_network_id", "survey", ["network_id"])
    op.create_index(
        "ix_survey_at_work",
        "survey",
        ["started_at", "id"],
        postgresql_where=sa.text("state IN ('running', 'measuring')"),
    )
    op.create_table(
        "orthophoto",
        number(),
        column("survey_id", sa.UUID()),
        column("name", sa.Text()),
        column("sha256", sa.Text()),
        column("bytes", sa.BigInteger()),
        column("key", sa.Text()),
        column("info", postgresql.JSONB()),
        column("gsd_m", sa.Double()),
        column("warnings", postgresql.JSONB()),
        column("footprint", geometry("POLYGON")),
        moment("uploaded_at"),
        primary_key("orthophoto", "id"),
        unique("orthophoto", "survey_id", "sha256"),
        unique("orthophoto", "survey_id", "name"),
        reference("orthophoto", "survey_id", "survey.id"),
    )
    spatial_index("orthophoto", "footprint")


def make_work() -> None:
    """Cells, and what each gave."""
    op.create_table(
        "cell",
        *cell_key(),
        column("inputs_digest", sa.Text()),
        column("state", sa.Text(), default="waiting"),
        column("lease_owner", sa.Text(), nullable=True),
        column("lease_until", sa.DateTime(timezone=True), nullable=True),
        column("attempts", sa.Integer(), default="0"),
        column("error", sa.Text(), default=""),
        column("imaged_m2", sa.Double(), default="0"),
        column("imaged_part", geometry("MULTIPOLYGON"), nullable=True),
        column("seconds", postgresql.JSONB(), default="{}"),
        column("finished_at", sa.DateTime(timezone=True), nullable=True),
        column("geom", geometry("POLYGON")),
        state_check("cell", "waiting", "leased", "done", "failed"),
        primary_key("cell", "survey_id", "col", "row"),
        reference("cell", "survey_id", "survey.id"),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index(
        "ix_cell_open",
        "cell",
        ["survey_id", "col", "row"],
        postgresql_where=sa.text("state IN ('waiting', 'leased')"),
    )
    op.create_index(
        "ix_cell_lease", "cell", ["lease_owner"], postgresql_where=sa.text("state = 'leased'")
    )
    op.create_index(
        "ix_cell_failed", "cell", ["survey_id"], postgresql_where=sa.text("state = 'failed'")
    )
    spatial_index("cell", "geom")
    op.create_table(
        "worker",
        column("name", sa.Text()),
        column("model_id", sa.Text(), nullable=True),
        column("seen_at", sa.DateTime(timezone=True)),
        primary_key("worker", "name"),
    )
    op.create_table(
        "fragment",
        number(),
        *cell_key(),
        column("geom", geometry("LINESTRINGZ")),
        primary_key("fragment", "id"),
        cell_reference("fragment"),
    )
    op.create_index("ix_fragment_cell", "fragment", ["survey_id", "col", "row"])
    op.create_table(
        "cell_segment",
        *cell_key(),
        column("segment_id", sa.BigInteger()),
        column("imaged_m2", sa.Double()),
        column("cracked_m2", sa.Double()),
        primary_key("cell_segment", "survey_id", "col", "row", "segment_id"),
        cell_reference("cell_segment"),
        reference("cell_segment", "segment_id", "segment.id"),
    )
    op.create_index("ix_cell_segment_segment_id", "cell_segment", ["segment_id"])


def make_results() -> None:
    """Cracks, their pieces, and conditions."""
    measures = ("length_m", "width_mean_mm", "width_p95_mm", "width_max_mm", "area_m2")
    op.create_table(
        "crack",
        column("survey_id", sa.UUID()),
        number(),
        column("model_id", sa.Text()),
        column("geom", geometry("LINESTRINGZ")),
        *(column(name, sa.Double()) for name in measures),
        primary_key("crack", "survey_id", "id"),
    )
    spatial_index("crack", "geom")
    op.create_table(
        "piece",
        column("survey_id", sa.UUID()),
        column("segment_id", sa.BigInteger()),
        number(),
        column("crack_id", sa.BigInteger()),
        column("type", sa.Text(), nullable=True),
        column("severity", sa.Text(), nullable=True),
        column("geom", geometry("LINESTRINGZ")),
        *(column(name, sa.Double()) for name in measures),
        primary_key("piece", "survey_id", "segment_id", "id"),
    )
    op.create_table(
        "condition",
        column("survey_id", sa.UUID()),
        column("segment_id", sa.BigInteger()),
        column("crack_length_m", sa.Double(), nullable=True),
        column("cracked_area_m2", sa.Double(), nullable=True),
        column("imaged_m2", sa.Double()),
        column("pavement_m2", sa.Double()),
        column("coverage", sa.Double()),
        column("density_m_per_m2", sa.Double(), nullable=True),
        column("crack_count", sa.Integer(), nullable=True),
        column("reason", sa.Text(), default=""),
        column("too_coarse", sa.Double(), default="0"),
        column("confident", sa.Boolean(), default="true"),
        *(column(name, sa.Double(), nullable=True) for name in condition_figures()),
        column("cracking_rating", sa.Text(), nullable=True),
        column("pci_rating", sa.Text(), nullable=True),
        column("r85", postgresql.JSONB(), nullable=True),
        moment("created_at"),
        column("place", Box()),
        primary_key("condition", "survey_id", "segment_id"),
        reference("condition", "survey_id", "survey.id"),
        reference("condition", "segment_id", "segment.id"),
        postgresql_with={"autovacuum_vacuum_insert_scale_factor": "0.02"},
    )
    op.create_index(
        "ix_condition_density",
        "condition",
        ["survey_id", "density_m_per_m2", "segment_id"],
        postgresql_include=["place"],
    )
    op.create_index(
        "ix_condition_place",
        "condition",
        ["survey_id", "place"],
        postgresql_using="gist",
        postgresql_include=["segment_id", "density_m_per_m2"],
    )
    op.create_index("ix_condition_segment_id", "condition", ["segment_id", "survey_id"])


def condition_figures() -> tuple[str, ...]:
    """The figures of a condition that are null where nothing was imaged."""
    kinds = ("longitudinal", "transverse", "diagonal", "alligator", "block")
    severities = ("low", "medium", "high", "unknown")
    return (
        "cracked_area_share",
        *(f"length_{name}_m" for name in (*kinds, *severities)),
        *("alligator_m2", "block_m2"),
        *("zeb_share", "zeb_evaluated", "cracking_percent", "pci_cracking"),
    )


def make_training() -> None:
    """Training jobs, as they were last seen."""
    op.create_table(
        "training_job",
        column("id", sa.Text()),
        column("backend", sa.Text()),
        column("config", postgresql.JSONB()),
        column("state", sa.Text()),
        column("message", sa.Text(), default=""),
        column("submissions", sa.Integer(), default="1"),
        moment("created_at"),
        column("submitted_at", sa.DateTime(timezone=True), nullable=True),
        column("finished_at", sa.DateTime(timezone=True), nullable=True),
        moment("seen_at"),
        state_check(
            *("training_job", "pending", "running", "succeeded", "failed", "stopped", "lost")
        ),
        primary_key("training_job", "id"),
    )


class Box(sa.types.UserDefinedType[str]):
    """PostgreSQL's own box."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """Return the type's name in SQL."""
        return "box"


def column(
    name: str, kind: sa.types.TypeEngine[Any], *, nullable: bool = False, default: str | None = None
) -> sa.Column[Any]:
    """A column; not null unless said otherwise."""
    return sa.Column(name, kind, nullable=nullable, server_default=default)


def road_facts() -> tuple[sa.Column[Any], ...]:
    """What a road's file says of it, for roads and segments."""
    return (
        column("width_source", sa.Text(), default="default"),
        column("lanes", sa.Integer(), nullable=True),
        column("oneway", sa.Boolean(), default="false"),
        column("surface", sa.Text(), default=""),
    )


def number() -> sa.Column[Any]:
    """A key that the database counts up."""
    return sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False)


def uuid_key() -> sa.Column[Any]:
    """A key drawn at random."""
    made = sa.text("gen_random_uuid()")
    return sa.Column("id", sa.UUID(), server_default=made, nullable=False)


def moment(name: str) -> sa.Column[Any]:
    """When the row was made."""
    kind = sa.DateTime(timezone=True)
    return sa.Column(name, kind, server_default=sa.text("now()"), nullable=False)


def cell_key() -> tuple[sa.Column[Any], ...]:
    """The three columns that name a cell."""
    return (
        column("survey_id", sa.UUID()),
        column("col", sa.BigInteger()),
        column("row", sa.BigInteger()),
    )


def geometry(kind: str) -> Any:
    """A WGS 84 geometry type."""
    return Geometry(kind, srid=4326, dimension=3 if kind.endswith("Z") else 2, spatial_index=False)


def spatial_index(table: str, name: str) -> None:
    """A GiST index on a geometry."""
    op.create_index(f"ix_{table}_{name}", table, [name], postgresql_using="gist")


def primary_key(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    """The primary key."""
    return sa.PrimaryKeyConstraint(*columns, name=f"pk_{table}")


def unique(table: str, *columns: str) -> sa.UniqueConstraint:
    """A unique constraint."""
    return sa.UniqueConstraint(*columns, name=f"uq_{table}_{'_'.join(columns)}")


def state_check(table: str, *states: str) -> sa.CheckConstraint:
    """Only these states are known."""
    known = ", ".join(f"'{state}'" for state in states)
    return sa.CheckConstraint(f"state IN ({known})", name=op.f(f"ck_{table}_state"))


def reference(
    table: str, name: str, target: str, *, ondelete: str | None = "CASCADE"
) -> sa.ForeignKeyConstraint:
    """A foreign key of one column."""
    key = f"fk_{table}_{name}"
    return sa.ForeignKeyConstraint([name], [target], name=key, ondelete=ondelete)


def cell_reference(table: str) -> sa.ForeignKeyConstraint:
    """The foreign key to a cell."""
    return sa.ForeignKeyConstraint(
        ["survey_id", "col", "row"],
        ["cell.survey_id", "cell.col", "cell.row"],
        name=f"fk_{table}_cell",
        ondelete="CASCADE",
    )
