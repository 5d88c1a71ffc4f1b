"""What must hold for any cracks, measured through the real database.

A road of 24 m x 8 m in segments of 8 m, cracks drawn at random on and beside it, surveyed in cells of
8 m by a detector that sees what is drawn. Every example is rolled back; there are few, since the measures
themselves have such tests of their own without a database.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import CRS
from shapely import affinity
from shapely.ops import substring
from sqlalchemy import Connection, Engine, text

import store_scene as scene
from drawn_cracks import clipped
from pavemap.geo.arrays import object_array
from pavemap.geo.crs import WGS84, ground_scale, reproject
from pavemap.geo.grid import Cell
from pavemap.geo.imagery.orthophoto import Orthophoto, outline
from pavemap.geo.store import (
    cells,
    leases,
    measuring,
    model_versions,
    networks,
    orthophotos,
    planning,
    surveys,
)
from pavemap.geo.survey_cell import CellResult

X, Y = scene.X + 31.7, scene.Y + 17.3
LENGTH_M, WIDTH_M = 24.0, 8.0
SCALE = ground_scale(scene.UTM, X, Y)

FIGURES = (
    *("crack_length_m", "cracked_area_m2", "density_m_per_m2", "coverage", "imaged_m2"),
    *("length_longitudinal_m", "length_transverse_m", "length_diagonal_m", "length_low_m"),
    *("zeb_share", "cracking_percent", "pci_cracking"),
)


WITHOUT_LIMITS = FIGURES[:5]
"""Figures without a sharp limit (of direction, width or a grid) that a ten-thousandth could tip over."""


@dataclass(frozen=True)
class Drawn:
    """Centre-lines of roads, where each is cut (m along it), and cracks, all in UTM metres."""

    roads: tuple[shapely.LineString, ...]
    cuts: tuple[tuple[float, ...], ...]
    cracks: tuple[shapely.LineString, ...]
    crs: CRS = scene.UTM
    gsd_m: float = 0.0125

    def moved(self, turn: float, east: float, north: float) -> Drawn:
        """Turn everything about the road's beginning, and move it."""

        def place(line: shapely.LineString) -> shapely.LineString:
            turned = affinity.rotate(line, turn, origin=(X, Y))
            return affinity.translate(turned, east, north)

        return replace(
            self, roads=tuple(map(place, self.roads)), cracks=tuple(map(place, self.cracks))
        )


def crack(points: Sequence[tuple[int, int]]) -> shapely.LineString:
    """Grid positions as a line 3 mm wide; no vertex lies on any border of segments, zones or strips."""
    places = [(X + 0.0131 + 0.97 * x, Y + 0.0173 + 0.43 * y, 3.0) for x, y in points]
    return shapely.LineString(places)


places = st.tuples(st.integers(-1, 26), st.integers(-11, 11))
cracks = st.lists(
    st.lists(places, min_size=2, max_size=4, unique=True).map(crack), min_size=1, max_size=5
).filter(lambda lines: all(line.is_simple for line in lines))

examples = settings(
    max_examples=2,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def street(lines: Sequence[shapely.LineString]) -> Drawn:
    road = shapely.LineString([(X, Y), (X + LENGTH_M, Y)])
    return Drawn((road,), ((0.0, 8.0, 16.0, 24.0),), tuple(lines))


@dataclass(frozen=True)
class Found:
    """Figures by segment key, and all pieces with their length."""

    figures: pd.DataFrame
    pieces_m: float

    def assert_same(self, other: Found, *, rel: float, names: Sequence[str] = FIGURES) -> None:
        for name in names:
            mine, others = (found.figures[name].to_numpy(float) for found in (self, other))
            np.testing.assert_allclose(mine, others, rtol=rel, atol=1e-6, err_msg=name)
        assert self.pieces_m == pytest.approx(other.pieces_m, rel=rel)


def measured(engine: Engine, drawn: Drawn, *, seed: int = 0) -> Found:
    """Survey and measure; `seed` shuffles the order in which cells come and cracks lie in them."""
    with engine.connect() as connection:
        survey = planned(connection, drawn)
        work_off(connection, survey, drawn, random.Random(seed))
        measuring.measure_survey(connection, surveys.get_survey(connection, survey.id))
        rows = connection.execute(
            text(
                "SELECT s.segment_key, c.* FROM condition c JOIN segment s ON s.id = c.segment_id "
                "ORDER BY s.segment_key"
            )
        ).mappings()
        figures = pd.DataFrame([dict(row) for row in rows]).set_index("segment_key")
        pieces = connection.scalar(text("SELECT coalesce(sum(length_m), 0) FROM piece"))
        connection.rollback()
    return Found(figures, float(pieces or 0.0))


def planned(connection: Connection, drawn: Drawn) -> surveys.SurveyRow:
    roads, segments = frames(drawn)
    network, _ = networks.add_network(
        connection,
        name="Drawn",
        digest="drawn",
        source_crs="EPSG:32633",
        segment_length_m=None,
        roads=roads,
        segments=segments,
    )
    model = model_versions.add_model(
        connection, name="tiny", digest="0123456789abcdef", card={"gsd_m": 0.0125}, uri="tiny/"
    )
    survey = surveys.create_survey(
        connection,
        surveys.NewSurvey(
            name="Drawn",
            network_id=network.id,
            model_id=model.id,
            crs=f"EPSG:{drawn.crs.to_epsg()}",
            gsd_m=drawn.gsd_m,
            cell_px=640,
            halo_px=64,
            params={"threshold": 0.5},
        ),
    )
    orthophotos.add_orthophoto(
        connection,
        survey_id=survey.id,
        name="all.tif",
        sha256=hashlib.sha256(b"all").hexdigest(),
        bytes=1000,
        key="all.tif",
        info=imagery(drawn),
        warnings=[],
    )
    planning.plan_cells(connection, survey)
    return survey


def frames(drawn: Drawn) -> tuple[geopandas.GeoDataFrame, geopandas.GeoDataFrame]:
    """The network as an import makes it: flat-ended strips beside each stretch of centre-line."""
    facts = {"width_source": "field", "lanes": 2, "oneway": False, "surface": ""}
    roads, rows, lines, pavements = [], [], [], []
    for number, (road, cuts) in enumerate(zip(drawn.roads, drawn.cuts, strict=True)):
        key = f"R{number}"
        roads.append({"road_key": key, "name": "", "width_m": WIDTH_M, **facts})
        for low, high in pairwise(cuts):
            line = substring(road, low, high)
            lines.append(line)
            pavements.append(shapely.MultiPolygon([line.buffer(WIDTH_M / 2, cap_style="flat")]))
            rows.append(
                {
                    "segment_key": f"{key}:{low:04.0f}",
                    "road_key": key,
                    "name": "",
                    "from_m": low,
                    "to_m": high,
                    "length_m": (high - low) / SCALE,
                    "width_m": WIDTH_M / SCALE,
                    "lineage": None,
                    "pavement_m2": (high - low) * WIDTH_M / SCALE**2,
                    **facts,
                }
            )
    segments = geopandas.GeoDataFrame(rows, geometry=degrees(pavements), crs=WGS84)
    segments["line"] = geopandas.GeoSeries(degrees(lines), crs=WGS84)
    return geopandas.GeoDataFrame(roads, geometry=degrees(drawn.roads), crs=WGS84), segments


def degrees(shapes: Sequence[shapely.Geometry]) -> NDArray[np.object_]:
    moved: NDArray[np.object_] = reproject(object_array(shapes), scene.UTM, WGS84)
    return moved


def imagery(drawn: Drawn) -> Orthophoto:
    """One orthophoto that shows everything; there is no file behind it."""
    west, south, east, north = shapely.total_bounds(drawn.roads) + [-20.0, -20.0, 20.0, 20.0]
    transform = Affine(0.0125, 0.0, west, 0.0, -0.0125, north)
    width, height = int((east - west) / 0.0125), int((north - south) / 0.0125)
    return Orthophoto(
        name="all.tif",
        path="",
        crs=scene.UTM,
        transform=transform,
        width=width,
        height=height,
        count=3,
        dtype="uint8",
        gsd_m=0.0125,
        footprint=outline(transform, width, height, source=scene.UTM, target=WGS84),
        band_use="rgb",
        mask_kind="none",
    )


def work_off(
    connection: Connection, survey: surveys.SurveyRow, drawn: Drawn, order: random.Random
) -> None:
    """Give each cell what is drawn in it; imaged pavement is that of the polygons."""
    grid = survey.grid()
    lines = [reproject(line, scene.UTM, grid.crs) for line in drawn.cracks]
    found = connection.execute(text("SELECT id, ST_AsBinary(pavement) FROM segment ORDER BY id"))
    pavements = {
        key: reproject(shapely.from_wkb(pavement), WGS84, grid.crs) for key, pavement in found
    }
    scale = ground_scale(grid.crs, *shapely.get_coordinates(next(iter(pavements.values())))[0])
    claims = leases.claim(connection, worker="w", lease_s=60.0, limit=1000)
    order.shuffle(claims)
    for claimed in claims:
        order.shuffle(lines)
        inside = clipped(np.array(lines, dtype=object), grid.bounds(claimed.cell))
        result = CellResult(
            lines=inside,
            imaged=areas(pavements, grid.box(claimed.cell), scale),
            imaged_m2=0.0,
            seconds={},
        )
        assert cells.complete(connection, claimed=claimed, result=result, worker="w")
    assert isinstance(claims[0].cell, Cell)


def areas(pavements: dict[int, Any], box: shapely.Polygon, scale: float) -> dict[int, float]:
    found = {
        key: float(shapely.area(shapely.intersection(each, box))) for key, each in pavements.items()
    }
    return {key: area / scale**2 for key, area in found.items() if area > 0.0}


@examples
@given(lines=cracks)
def test_pieces_sum_up_to_the_cracks_on_pavement(
    engine: Engine, lines: list[shapely.LineString]
) -> None:
    found = measured(engine, street(lines))
    road = shapely.box(X, Y - WIDTH_M / 2, X + LENGTH_M, Y + WIDTH_M / 2)
    drawn_m = sum(line.intersection(road).length for line in lines) / SCALE
    assert found.pieces_m == pytest.approx(drawn_m, rel=1e-5, abs=1e-6)
    assert found.figures["crack_length_m"].sum() == pytest.approx(found.pieces_m, rel=1e-9)
    assert found.figures["coverage"].to_numpy() == pytest.approx(1.0, rel=1e-5)


@examples
@given(
    lines=cracks,
    turn=st.integers(1, 359),
    east=st.integers(-200, 200),
    north=st.integers(-200, 200),
)
def test_turning_and_moving_the_whole_scene_changes_no_figure(
    engine: Engine, lines: list[shapely.LineString], turn: int, east: int, north: int
) -> None:
    here, there = street(lines), street(lines).moved(turn, east, north)
    measured(engine, there).assert_same(measured(engine, here), rel=1e-4, names=WITHOUT_LIMITS)


@examples
@given(lines=cracks, seed=st.integers(1, 1000))
def test_the_order_of_cells_and_cracks_changes_no_figure(
    engine: Engine, lines: list[shapely.LineString], seed: int
) -> None:
    shuffled = random.Random(seed).sample(lines, len(lines))
    one, other = measured(engine, street(lines)), measured(engine, street(shuffled), seed=seed)
    one.assert_same(other, rel=1e-9)


@examples
@given(lines=cracks)
def test_a_road_split_in_two_keeps_its_figures(
    engine: Engine, lines: list[shapely.LineString]
) -> None:
    """The third segment becomes a road of its own: the same ground, the same figures."""
    whole = street(lines)
    road = whole.roads[0]
    middle = road.interpolate(16.0).coords[0]
    parts = (
        shapely.LineString([road.coords[0], middle]),
        shapely.LineString([middle, road.coords[-1]]),
    )
    split = replace(whole, roads=parts, cuts=((0.0, 8.0, 16.0), (0.0, 8.0)))
    measured(engine, split).assert_same(measured(engine, whole), rel=1e-6)


@examples
@given(lines=cracks)
def test_another_working_crs_changes_nothing_by_more_than_a_ten_thousandth(
    engine: Engine, lines: list[shapely.LineString]
) -> None:
    """This UTM zone and the next, far outside it: another grid, turned, and of another scale.

    Conformal projections only: web mercator, on the ellipsoid none, is held to 0.5 % elsewhere.
    """
    here = street(lines)
    there = replace(here, crs=CRS.from_epsg(32632))
    measured(engine, there).assert_same(measured(engine, here), rel=1e-4, names=WITHOUT_LIMITS)
