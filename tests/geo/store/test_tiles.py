"""Vector tiles, decoded by GDAL: the lines of a drawn road, its figures, and how large a tile may be."""

from __future__ import annotations

import math
import uuid
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import pytest
import shapely
from sqlalchemy import Engine, text

import store_scene as scene
from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.errors import BadInput, NotFound
from pavemap.geo.store import surveys, tables, tiles
from pavemap.geo.store.bulk import copy_frame, reserve_ids
from pavemap.geo.store.engine import database
from pavemap.geo.store.surveys import SurveyRow
from pavemap.geo.store.tiles import Tile

CRACK_WEST = scene.X + 140.0


@pytest.fixture
def figures(engine: Engine) -> SurveyRow:
    """Three roads of five segments, densities 0.00, 0.01, ...; the last segment was not imaged."""
    with database(engine) as connection:
        survey = scene.add_survey(connection, roads=3)
        ids = np.array(
            connection.execute(text("SELECT id FROM segment ORDER BY id")).scalars().all()
        )
        density = np.arange(len(ids)) / 100.0
        density[-1] = np.nan
        copy_frame(
            connection,
            tables.Condition,
            {
                "survey_id": survey.id,
                "segment_id": ids,
                "crack_length_m": 7.5,
                "cracked_area_m2": 0.03,
                "imaged_m2": 400.0,
                "pavement_m2": 800.0,
                "coverage": 0.5,
                "density_m_per_m2": density,
                "crack_count": 2,
                "reason": "no data",
            },
        )
        line = shapely.LineString(
            [(CRACK_WEST, scene.Y + 4.0, 4.0), (CRACK_WEST + 6.0, scene.Y + 6.0, 4.0)]
        )
        copy_frame(
            connection,
            tables.Crack,
            {
                "id": reserve_ids(connection, tables.Crack, 3),
                "survey_id": survey.id,
                "model_id": survey.model_id,
                "geom": reproject(np.array([line, line, line]), scene.UTM, WGS84),
                "length_m": [6.3, 9.0, 1.0],
                "width_mean_mm": 4.0,
                "width_p95_mm": 4.5,
                "width_max_mm": 5.0,
                "area_m2": 0.025,
                "confidence": 0.75,
            },
        )
        return survey


def tile_at(zoom: int, *, east_m: float = 150.0, north_m: float = 5.0) -> Tile:
    """The tile under a place in metres from the corner of the scene (spherical web mercator)."""
    lon, lat = reproject(
        shapely.Point(scene.X + east_m, scene.Y + north_m), scene.UTM, WGS84
    ).coords[0]
    row = (1.0 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2.0
    return Tile(zoom, int((lon + 180.0) / 360.0 * 2**zoom), int(row * 2**zoom))


def layers(engine: Engine, survey: SurveyRow, tile: Tile, folder: Path) -> set[str]:
    return {str(name) for name in pyogrio.list_layers(_stored(engine, survey, tile, folder))[:, 0]}


def decoded(
    engine: Engine, survey: SurveyRow, tile: Tile, folder: Path, *, layer: str = "segments"
) -> geopandas.GeoDataFrame:
    """A tile's layer in the drawn road's CRS."""
    found = pyogrio.read_dataframe(_stored(engine, survey, tile, folder), layer=layer, CLIP="NO")
    return found.to_crs(scene.UTM)


def _stored(engine: Engine, survey: SurveyRow, tile: Tile, folder: Path) -> Path:
    """A tile as a file whose path tells GDAL where it lies."""
    with database(engine) as connection:
        content = tiles.survey_tile(connection, survey.id, tile)
    path = folder / str(tile.z) / str(tile.x) / f"{tile.y}.mvt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_tile_shows_segments_where_they_were_drawn(
    engine: Engine, figures: SurveyRow, tmp_path: Path
) -> None:
    """Within a step of the grid: at zoom 14, 0.6 m by 52 degrees north."""
    found = decoded(engine, figures, tile_at(14), tmp_path).set_index("segment_key")
    row = found.loc["A2:100"]
    expected = shapely.LineString([(scene.X + 100, scene.Y + 105), (scene.X + 200, scene.Y + 105)])
    assert shapely.hausdorff_distance(shapely.line_merge(row.geometry), expected) < 0.6
    assert row["density_m_per_m2"] == pytest.approx(0.06)
    assert (row["road_key"], row["name"], row["reason"]) == ("A2", "Street 2", "no data")
    assert (row["coverage"], row["crack_count"], row["crack_length_m"]) == (0.5, 2, 7.5)
    with database(engine) as connection:
        known = connection.scalar(text("SELECT id FROM segment WHERE segment_key = 'A2:100'"))
    assert row["mvt_id"] == known


def test_what_was_not_imaged_has_no_density(
    engine: Engine, figures: SurveyRow, tmp_path: Path
) -> None:
    found = decoded(engine, figures, tile_at(10), tmp_path).set_index("segment_key")
    assert len(found) == 15
    assert not set(tiles.NEAR_FIELDS) & set(found.columns)  # nobody reads names from so far
    assert math.isnan(found.loc["A3:400", "density_m_per_m2"])


def test_lines_go_on_beyond_the_edge_and_no_farther(
    engine: Engine, figures: SurveyRow, tmp_path: Path
) -> None:
    tile = tile_at(18)
    found = decoded(engine, figures, tile, tmp_path)
    assert set(found["segment_key"]) <= {"A1:0", "A1:100", "A1:200"}
    area = shapely.box(*tile.bounds(margin=1.001 * tiles.MARGIN / tiles.EXTENT))
    assert found.to_crs(WGS84).within(area.buffer(1e-7)).all()


def test_cracks_are_drawn_from_their_zoom_on(
    engine: Engine, figures: SurveyRow, tmp_path: Path
) -> None:
    assert layers(engine, figures, tile_at(tiles.CRACKS_ZOOM - 1), tmp_path) == {"segments"}
    tile = tile_at(tiles.CRACKS_ZOOM, east_m=143.0)
    assert layers(engine, figures, tile, tmp_path) == {"segments", "cracks"}
    found = decoded(engine, figures, tile, tmp_path, layer="cracks")
    assert sorted(found["length_m"]) == [1.0, 6.3, 9.0]
    drawn = shapely.LineString([(CRACK_WEST, scene.Y + 4.0), (CRACK_WEST + 6.0, scene.Y + 6.0)])
    for line in found.geometry:
        assert shapely.hausdorff_distance(shapely.line_merge(line), drawn) < 0.15
    assert (found["width_mean_mm"] == 4.0).all()


def test_a_full_tile_keeps_the_worst_and_the_longest(
    engine: Engine, figures: SurveyRow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiles, "FAR_SEGMENTS", 3)
    monkeypatch.setattr(tiles, "NEAR_SEGMENTS", 14)
    monkeypatch.setattr(tiles, "CRACKS", 1)
    far = decoded(engine, figures, tile_at(10), tmp_path)
    assert sorted(far["density_m_per_m2"]) == pytest.approx([0.11, 0.12, 0.13])
    monkeypatch.setattr(tiles, "WHOLE_ZOOM", 10)
    near = decoded(engine, figures, tile_at(10), tmp_path)
    assert len(near) == 14
    assert near["density_m_per_m2"].notna().all()
    (longest,) = decoded(engine, figures, tile_at(17, east_m=143.0), tmp_path, layer="cracks")[
        "length_m"
    ]
    assert longest == 9.0


def test_an_empty_tile_is_no_bytes(engine: Engine, figures: SurveyRow) -> None:
    with database(engine) as connection:
        for tile in (Tile(14, 0, 0), tile_at(tiles.MIN_ZOOM - 1), Tile(0, 0, 0)):
            assert tiles.survey_tile(connection, figures.id, tile) == b""


def test_other_surveys_do_not_show(engine: Engine, figures: SurveyRow) -> None:
    with database(engine) as connection:
        other = scene.add_survey(connection, name="Autumn", roads=3)
        assert tiles.survey_tile(connection, other.id, tile_at(17)) == b""


@pytest.mark.parametrize("place", [(3, 8, 0), (3, 0, 8), (3, -1, 0), (23, 0, 0), (-1, 0, 0)])
def test_what_is_not_in_the_pyramid_is_refused(place: tuple[int, int, int]) -> None:
    with pytest.raises(BadInput, match="there is no tile"):
        Tile(*place)


def test_the_bounds_of_tiles_are_those_of_web_mercator(engine: Engine) -> None:
    """As PostGIS has them."""
    with database(engine) as connection:
        for z, x, y in ((0, 0, 0), (1, 1, 1), (7, 70, 42), (22, 2_252_800, 1_378_400)):
            row = connection.execute(
                text(
                    "SELECT ST_XMin(t), ST_YMin(t), ST_XMax(t), ST_YMax(t) FROM "
                    "ST_Transform(ST_TileEnvelope(:z, :x, :y), 4326) AS t"
                ),
                {"z": z, "x": x, "y": y},
            ).one()
            assert Tile(z, x, y).bounds() == pytest.approx(tuple(row), abs=1e-8)


def test_the_version_changes_with_the_figures(engine: Engine, figures: SurveyRow) -> None:
    with database(engine) as connection:
        before = surveys.survey_version(connection, figures.id)
        assert surveys.survey_version(connection, figures.id) == before
        surveys.set_state(connection, figures.id, "done")
        assert surveys.survey_version(connection, figures.id) != before
        with pytest.raises(NotFound):
            surveys.survey_version(connection, uuid.uuid4())
