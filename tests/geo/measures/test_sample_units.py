"""Sample units of the PCI on pavement that the drawn lanes don't cover."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from measured_road import crack, figures, pieces, road
from pavemap.geo.arrays import object_array
from pavemap.geo.measures import MeasureParams, segment_measures
from pavemap.geo.measures.pci import Distress, unit_pci
from pavemap.geo.measures.road_frame import RoadFrames
from pavemap.geo.measures.sample_units import SampleUnits


def test_cracks_on_carriageways_beside_the_line_count() -> None:
    median = road([(0, 0), (100, 0)])
    both = shapely.MultiPolygon([shapely.box(0, y, 100, y + 7) for y in (4, -11)])
    median["pavement"] = object_array([both])
    cracks = [crack([(0, y), (100, y)], 20.0) for y in (5, 6, 7, 8, -5, -6, -7, -8)]
    found = figures(segment_measures(pieces(cracks), median))
    assert found["zeb_evaluated"] == 0
    even = unit_pci([Distress("longitudinal_transverse", "medium", 800.0)], 1400.0)
    assert found["pci_cracking"] == pytest.approx(even)


def test_a_lay_by_seen_where_the_lanes_are_not_is_rated_as_any_ground() -> None:
    segment = road([(0, 0), (100, 0)])
    segment["pavement"] = object_array([shapely.box(0, -3.5, 100, 7)])
    imaged = shapely.union_all([shapely.box(0, -3.5, 50, 3.5), shapely.box(0, 3.5, 100, 7)])
    along = [crack([(60, y), (90, y)], 20.0) for y in (4, 5, 6)]
    found = figures(segment_measures(pieces(along), segment, {"a": imaged}))
    # 700 m2 are 3 units of 34, 33 and 33 rows: all lanes but 16 m lie in the first.
    seen = [33 * 3.5 + 16 * 7.0, 33 * 3.5]
    cracked = [
        unit_pci([Distress("longitudinal_transverse", "medium", length)], area)
        for length, area in zip((3 * 7.0, 3 * 23.0), seen, strict=True)
    ]
    first = 700.0 - sum(seen)
    by_hand = (100.0 * first + np.dot(cracked, seen)) / 700.0
    assert found["pci_cracking"] == pytest.approx(by_hand)


def test_units_of_a_bend_have_the_ground_beside_their_part_of_it() -> None:
    turns = np.linspace(0.0, np.pi, 181)
    bend = shapely.LineString(40.0 * np.column_stack([np.cos(turns), np.sin(turns)]))
    frames = RoadFrames.from_lines(np.array([bend], object), scale=np.ones(1))
    ground = np.array([bend.buffer(8.0, cap_style="flat")], object)
    units = SampleUnits.divide(ground, shapely.area(ground), frames=frames, params=MeasureParams())
    rows = np.diff(units.start_of(np.arange(len(units.segment))), append=frames.lengths[0])
    assert units.area_m2 == pytest.approx(16.0 * rows, rel=1e-3)


def test_a_crack_on_ground_nobody_saw_counts_in_the_nearest_unit_that_was_seen() -> None:
    units = SampleUnits(
        segment=np.array([0, 0, 0, 0, 1, 2]),
        area_m2=np.array([0.0, 200.0, 0.0, 0.0, 180.0, 0.0]),
        first=np.array([0, 4, 5, 6]),
        rows=np.array([120, 30, 30]),
        cell_m=1.0,
    )
    assert units.imaged(np.arange(6)).tolist() == [1, 1, 1, 1, 4, 5]
