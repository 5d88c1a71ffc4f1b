"""Bulk loads: every type arrives as it left, in the caller's transaction, through binary COPY."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from sqlalchemy import Engine, text

import store_scene as scene
from pavemap.geo.store import tables
from pavemap.geo.store.bulk import (
    BLOCK_ROWS,
    copy_frame,
    fetch_columns,
    from_ewkb,
    reserve_ids,
)
from pavemap.geo.store.copy_format import Column, encoded_block
from pavemap.geo.store.engine import database
from pavemap.geo.store.surveys import SurveyRow


def test_columns_arrive_as_they_left(engine: Engine, survey: SurveyRow) -> None:
    """More rows than a block; z kept; numbers exact; NaN is null where null may be."""
    length = BLOCK_ROWS + 7
    z = np.linspace(0.0, 9.0, length)
    x = 13.0 + z / 7.0
    lines = shapely.linestrings(
        np.stack([np.stack([x, z, z], 1), np.stack([x + 1e-9, z, z + 0.1], 1)], 1)
    )
    with database(engine) as connection:
        ids = reserve_ids(connection, tables.Crack, length)
        written = copy_frame(
            connection,
            tables.Crack,
            {
                "id": ids,
                "survey_id": survey.id,
                "model_id": survey.model_id,
                "geom": lines,
                "length_m": z / 3.0,
                "width_mean_mm": z.tolist(),
                "width_p95_mm": z,
                "width_max_mm": z,
                "area_m2": 0.0,
            },
        )
        assert written == length
    with database(engine) as connection:
        blocks = list(
            fetch_columns(
                connection,
                "SELECT id, ST_AsBinary(geom), length_m, model_id, survey_id FROM crack "
                "WHERE survey_id = %(id)s ORDER BY id",
                {"id": survey.id},
            )
        )
        kind = connection.execute(
            text("SELECT DISTINCT GeometryType(geom), ST_SRID(geom) FROM crack")
        )
        assert [tuple(row) for row in kind] == [("LINESTRING", 4326)]
    assert [len(block[0]) for block in blocks] == [BLOCK_ROWS, 7]
    back = [np.concatenate(column) for column in zip(*blocks, strict=True)]
    np.testing.assert_array_equal(back[0], ids)
    assert shapely.equals_identical(from_ewkb(back[1]), lines).all()
    np.testing.assert_array_equal(back[2], z / 3.0)
    assert set(back[3]) == {survey.model_id}
    assert set(back[4]) == {survey.id}


def test_what_is_missing_is_null_where_it_may_be(engine: Engine, survey: SurveyRow) -> None:
    with database(engine) as connection:
        segment = connection.scalar(text("SELECT min(id) FROM segment"))
        columns = dict.fromkeys(("crack_length_m", "cracked_area_m2", "imaged_m2"), 1.0)
        copy_frame(
            connection,
            tables.Condition,
            {
                "survey_id": survey.id,
                "segment_id": np.array([segment]),
                **columns,
                "pavement_m2": 1,
                "coverage": 1.0,
                "density_m_per_m2": np.array([np.nan]),
                "crack_count": 3,
                "reason": 'tab\t, quote " and \\N',
            },
        )
        row = connection.execute(text("SELECT density_m_per_m2, reason FROM condition")).one()
    assert tuple(row) == (None, 'tab\t, quote " and \\N')


def test_fields_are_written_as_the_format_has_them() -> None:
    """Two rows, worked out by hand: fields in a row, length and big-endian bytes of each."""
    columns = [
        Column("int4", np.array([1, 258]), constant=False, nullable=False),
        Column("text", "ab", constant=True, nullable=False),
        Column("float8", [1.0, np.nan], constant=False, nullable=True),
        Column("bool", [True, False], constant=False, nullable=False),
    ]
    first = "0004 00000004 00000001 00000002 6162 00000008 3ff0000000000000 00000001 01"
    second = "0004 00000004 00000102 00000002 6162 ffffffff 00000001 00"
    assert encoded_block(columns, 2) == bytes.fromhex(first + second)


def test_values_that_a_column_can_not_hold_are_a_mistake() -> None:
    fractions = Column("int4", np.array([0.5]), constant=False, nullable=False)
    with pytest.raises(ValueError, match="don't fit"):
        encoded_block([fractions], 1)
    with pytest.raises(ValueError, match="no encoding"):
        encoded_block([Column("inet", ["::1"], constant=False, nullable=False)], 1)


def test_every_kind_of_value_arrives_or_is_null(engine: Engine, survey: SurveyRow) -> None:
    with database(engine) as connection:
        ids = connection.execute(text("SELECT id FROM segment ORDER BY id LIMIT 2")).scalars().all()
        copy_frame(
            connection,
            tables.Condition,
            {
                "survey_id": [survey.id, survey.id],
                "segment_id": ids,
                **dict.fromkeys(("crack_length_m", "cracked_area_m2", "imaged_m2"), 1.0),
                "pavement_m2": np.array([1, 2]),
                "coverage": (0.25, 1.0),
                "density_m_per_m2": [None, 0.1],
                "crack_count": np.array([3, 4], dtype=np.int16),
                "reason": ["\u00e9\t", ""],
                "confident": np.array([True, False]),
                "cracking_rating": [None, "good"],
                "r85": [{"a": [1.5, None]}, None],
            },
        )
        rows = connection.execute(
            text(
                "SELECT pavement_m2, coverage, density_m_per_m2, crack_count, reason, confident, "
                "cracking_rating, r85, r85 IS NULL FROM condition ORDER BY segment_id"
            )
        ).all()
    assert [tuple(row) for row in rows] == [
        (1.0, 0.25, None, 3, "\u00e9\t", True, None, {"a": [1.5, None]}, False),
        (2.0, 1.0, 0.1, 4, "", False, "good", None, True),
    ]


def test_columns_of_different_length_are_a_mistake(engine: Engine, survey: SurveyRow) -> None:
    with database(engine) as connection, pytest.raises(ValueError, match="differ in length"):
        copy_frame(connection, tables.Road, {"road_key": ["a", "b"], "name": ["a"]})


def test_a_load_that_fails_leaves_nothing(engine: Engine, survey: SurveyRow) -> None:
    frames = scene.road_frames(roads=2)
    with pytest.raises(Exception, match="uq_road"), database(engine) as connection:
        copy_frame(
            connection,
            tables.Road,
            {
                "network_id": survey.network_id,
                "road_key": ["B1", "B1"],
                "name": "",
                "width_m": 3.0,
                "geom": frames.roads.geometry.to_numpy(),
            },
        )
    with database(engine) as connection:
        assert connection.scalar(text("SELECT count(*) FROM road")) == 1
