"""The measures of files are the same however segments fall into blocks, as on a server."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS

from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.grid import Grid
from pavemap.platform.file_survey import file_measures
from pavemap.platform.file_survey.file_measures import SeenGround, _Rows, measures_of

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
        return measures_of(pieces, segments, pavements, imaged_m2=imaged, ground=ground)

    together = measured()
    patterns = together.filter(regex="length_(alligator|block)_m").sum(axis=1)
    assert (patterns > 5.0).all()
    monkeypatch.setattr(file_measures, "SEGMENTS_AT_A_TIME", 1)
    pd.testing.assert_frame_equal(measured(), together)
