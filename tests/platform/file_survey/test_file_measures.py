"""The measures of files are the same however segments fall into blocks, as on a server."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS

from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.grid import Grid
from pavemap.geo.measures import MeasureParams, neighbours
from pavemap.platform.file_survey.file_cells import Totals
from pavemap.platform.file_survey.file_measures import _Rows, measures_of
from pavemap.platform.file_survey.file_tables import by_segment
from pavemap.platform.file_survey.seen_ground import SeenGround

UTM = CRS.from_epsg(32633)
X, Y = 500_000.0, 5_540_000.0
GRID = Grid(UTM, 0.01, cell_px=2048, halo_px=64)


@given(
    keys=st.lists(st.integers(-3, 9), max_size=30), wanted=st.lists(st.integers(-5, 12), max_size=9)
)
def test_rows_are_found_by_their_key_in_the_order_of_the_table(
    keys: list[int], wanted: list[int]
) -> None:
    table = np.array(keys, np.int64)
    found = _Rows.of(table).at(np.array(wanted, np.int64))
    assert found.tolist() == np.flatnonzero(np.isin(table, wanted)).tolist()


def test_a_pattern_over_a_border_counts_on_both_sides_of_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Cells of 1 m, three by six, of which the border of two segments goes through the middle."""
    ends = [(X, X + 10.0), (X + 10.0, X + 20.0)]
    lines = np.array([shapely.LineString([(a, Y), (b, Y)]) for a, b in ends], object)
    pavements = np.array([shapely.box(a, Y - 3.0, b, Y + 3.0) for a, b in ends], object)
    segments = pd.DataFrame({"line": reproject(lines, UTM, WGS84), "width_m": 6.0, "lanes": None})
    segments["oneway"] = False
    sides = [((X + 7.5 + i, Y + j), (X + 8.5 + i, Y + j)) for i in range(5) for j in range(4)]
    sides += [((X + 7.5 + i, Y + j), (X + 7.5 + i, Y + j + 1)) for i in range(6) for j in range(3)]
    drawn = shapely.linestrings([[(*a, 4.0), (*b, 4.0)] for a, b in sides])
    parts = [
        {"segment_id": number, "crack_id": crack, "geometry": part}
        for number, pavement in enumerate(pavements)
        for crack, part in enumerate(shapely.intersection(drawn, pavement))
        if part.length > 0.0
    ]
    pieces = pd.DataFrame(parts)
    places = GRID.indices_meeting(pavements)
    ground = SeenGround(grid=GRID, parts={(int(col), int(row)): None for col, row in places})

    def measured() -> pd.DataFrame:
        imaged = shapely.area(pavements)
        return measures_of(
            pieces,
            segments,
            pavements,
            imaged_m2=imaged,
            ground=ground,
            params=MeasureParams(),
        )

    together = measured()
    patterns = together.filter(regex="length_(alligator|block)_m").sum(axis=1)
    assert (patterns > 5.0).all()
    monkeypatch.setattr(neighbours, "SEGMENTS_AT_A_TIME", 1)
    pd.testing.assert_frame_equal(measured(), together)


def test_a_survey_that_saw_nothing_of_its_roads_has_no_figures() -> None:
    line = shapely.LineString([(X, Y), (X + 10.0, Y)])
    pavements = np.array([shapely.box(X, Y - 3.0, X + 10.0, Y + 3.0)], object)
    known = {
        "segment_key": ["a"],
        "pavement_m2": [60.0],
        "width_m": 6.0,
        "lanes": 2,
        "oneway": False,
    }
    segments = gpd.GeoDataFrame(known, geometry=reproject(pavements, UTM, WGS84), crs=WGS84)
    segments["line"] = reproject(np.array([line], object), UTM, WGS84)
    pieces, figures = by_segment(
        np.array([shapely.LineString([(X + 1.0, Y, 4.0), (X + 2.0, Y, 4.0)])], object),
        segments,
        pavements,
        Totals(GRID, [], min_length_m=0.1),
        pavements,
        seen=SeenGround(grid=GRID, parts={}),
    )
    assert (len(pieces), len(figures)) == (1, 1)
    found = figures.iloc[0]
    assert (found["coverage"], found["reason"], found["confident"]) == (0.0, "no data", False)
    assert found[["density_m_per_m2", "crack_count", "zeb_share", "pci_rating"]].isna().all()
