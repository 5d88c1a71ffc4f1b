"""The worked example of docs/measures.md: every figure of one drawn road, calculated by hand.

The road is 30 m long, two lanes of 3.5 m, 210 m2. A is 7 m of longitudinal crack, 5 mm wide; B 3.5 m
across, 12 mm; C runs 3 m along and 1.5 m across, sqrt(11.25) = 3.354 m, 20 mm; D is a network of
4 x 3 cells of 0.2 m, 31 sides, 6.2 m, 4 mm.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import shapely

from measured_road import (
    ALLIGATOR,
    CRACKS,
    DIAGONAL,
    LONGITUDINAL,
    TRANSVERSE,
    cut,
    figures,
    pieces,
    road,
)
from pavemap.geo.measures import MeasureParams, classify_cracks, segment_measures
from pavemap.geo.measures.classified_cracks import ClassifiedCracks
from pavemap.geo.measures.segment_measures import Measured

C_LENGTH = np.sqrt(3.0**2 + 1.5**2)


@pytest.fixture(scope="module")
def worked() -> dict[str, Any]:
    return figures(segment_measures(pieces(CRACKS), road()))


def test_length_density_and_cracked_area(worked: dict[str, Any]) -> None:
    length = 7 + 3.5 + C_LENGTH + 6.2
    area = 7 * 0.005 + 3.5 * 0.012 + C_LENGTH * 0.020 + 6.2 * 0.004
    assert worked["pavement_m2"] == worked["imaged_m2"] == pytest.approx(210)
    assert worked["coverage"] == 1.0
    assert worked["confident"]
    assert worked["crack_length_m"] == pytest.approx(length)
    assert worked["density_m_per_m2"] == pytest.approx(length / 210)
    assert worked["cracked_area_m2"] == pytest.approx(area)
    assert worked["cracked_area_share"] == pytest.approx(100 * area / 210)


def test_types(worked: dict[str, Any]) -> None:
    assert worked["length_longitudinal_m"] == pytest.approx(7)
    assert worked["length_transverse_m"] == pytest.approx(3.5)
    assert worked["length_diagonal_m"] == pytest.approx(C_LENGTH)
    assert worked["length_alligator_m"] == pytest.approx(6.2)
    assert worked["length_block_m"] == 0.0
    assert worked["alligator_m2"] == pytest.approx(12 * 0.2**2)


def test_type_and_severity_of_each_piece() -> None:
    named = classify_cracks(pieces(CRACKS), road())
    assert named["type"].tolist() == ["longitudinal", "transverse", "diagonal"] + ["alligator"] * 31
    assert named["severity"].tolist() == ["low", "medium", "medium"] + ["low"] * 31
    assert named["angle_deg"].abs().tolist()[:3] == pytest.approx(
        [0, 90, np.degrees(np.arctan(0.5))]
    )


def test_severity(worked: dict[str, Any]) -> None:
    assert worked["length_low_m"] == pytest.approx(7 + 6.2)
    assert worked["length_medium_m"] == pytest.approx(3.5 + C_LENGTH)
    assert worked["length_high_m"] == worked["length_unknown_m"] == 0.0


def test_zeb_share(worked: dict[str, Any]) -> None:
    # 30 rows x 2 lanes x 3 strips of 1.167 m. A: 7 cells of one strip. B: three strips of its lane, one of
    # the other. C: rows 25 to 28 of the middle strip, one cell below and one above. D: two cells.
    assert worked["zeb_evaluated"] == 180
    assert worked["zeb_share"] == pytest.approx(100 * (7 + 4 + 6 + 2) / 180)


def test_cracking_percent(worked: dict[str, Any]) -> None:
    # Wheel paths lie 0.375 to 1.375 and 2.125 to 3.125 m from the middle on either side. A: 7 m. B: none.
    # C: 0.375 m of offset in two paths, 0.75 m along each. D: 0.8 m. To the whole percent: 4.
    assert worked["cracking_percent"] == pytest.approx(100 * (7 + 2 * 0.75 + 0.8) * 1.0 / 210)
    assert worked["cracking_rating"] == "good"


def test_r85_extents(worked: dict[str, Any]) -> None:
    extents = {
        kind: {name: zone["length_m"] for name, zone in zones.items() if zone["length_m"]}
        for kind, zones in worked["r85"].items()
    }
    slope = C_LENGTH / 3.0
    assert extents["longitudinal"] == {"wheel-path-left": 7.0}
    assert extents["transverse"] == pytest.approx(
        {
            "outside-right": 0.275 + 0.1,
            "wheel-path-right": 1.0,
            "between": 0.75,
            "wheel-path-left": 1.0,
            "outside-left": 0.375,
        }
    )
    assert extents["pattern"] == pytest.approx(
        {
            "wheel-path-right": 0.75 * slope,
            "between": 1.5 * slope,
            "wheel-path-left": 0.75 * slope + 6.2,
        },
        abs=1e-3,
    )
    # The mean width of the pattern in the left wheel paths, by length.
    mean = (0.75 * slope * 20 + 6.2 * 4) / (0.75 * slope + 6.2)
    width = worked["r85"]["pattern"]["wheel-path-left"]["width_mm"]
    assert width == pytest.approx(mean, abs=0.01)


def test_r85_extents_of_each_lane_add_up() -> None:
    table = Measured.of(ClassifiedCracks.of(pieces(CRACKS), road())).extents()
    assert set(table["lane"]) == {0, 1, -1}
    assert table["length_m"].sum() == pytest.approx(7 + 3.5 + C_LENGTH + 6.2)
    first = table[(table["lane"] == 0) & (table["kind"] == "transverse")]
    assert first["length_m"].sum() == pytest.approx(3.4)
    assert table.loc[table["lane"] == 0, "imaged_m2"].sum() / 3 == pytest.approx(105)


def test_pci(worked: dict[str, Any]) -> None:
    # One unit of 210 m2. Low cracks 7 m: 1.016 %, deduct 2.240. Medium 6.854 m: 0.9948 %, 8.644.
    # Alligator 0.48 m2, medium: 0.2286 %, 10.614. q = 3: T = 21.498, CDV 10.11;
    # q = 2: T = 21.258, CDV 14.01; q = 1: T = 14.614.
    assert worked["pci_cracking"] == pytest.approx(100 - 14.614, abs=0.002)
    assert worked["pci_rating"] == "good"


def test_half_imaged_half_known() -> None:
    right = shapely.box(0, -3.5, 30, 0)
    seen = cut([LONGITUDINAL, TRANSVERSE], road().assign(pavement=pd.Series([right], dtype=object)))
    half = figures(segment_measures(seen, road(), {"a": right}))
    assert half["coverage"] == pytest.approx(0.5)
    assert not half["confident"]
    assert half["zeb_evaluated"] == 90
    assert half["zeb_share"] == pytest.approx(100 * (7 + 3) / 90)
    assert half["cracking_percent"] == pytest.approx(100 * 7 / 105)
    assert half["cracking_rating"] == "fair"
    assert half["density_m_per_m2"] == pytest.approx(10.4 / 105)
    # The figures rest on the right lane; its zones carry the same names as those of the left one.
    assert half["r85"]["longitudinal"]["wheel-path-left"]["length_m"] == 7.0


def test_a_cell_is_evaluated_from_half_of_it_on() -> None:
    def evaluated(width: float) -> float:
        imaged = {"a": shapely.box(10, -3.5, 10 + width, 0)}
        return float(segment_measures(pieces([]), road(), imaged)["zeb_evaluated"].iloc[0])

    assert [evaluated(0.49), evaluated(0.5), evaluated(1.49), evaluated(1.5)] == [0, 3, 3, 6]


def test_the_page_of_the_measures_lists_every_parameter() -> None:
    page = Path(__file__).parents[3] / "docs" / "measures.md"
    listed = [line for line in page.read_text().splitlines() if line.startswith("| `")]
    names = {name for line in listed for name in line.split("|")[1].replace("`", "").split(", ")}
    assert {name.strip() for name in names} == {field.name for field in fields(MeasureParams)}


def test_nothing_found_is_0_and_nothing_imaged_is_null() -> None:
    both = pd.concat([road(), road([(30, 0), (60, 0)], key="b")])
    table = segment_measures(pieces([]), both, {"a": shapely.box(0, -3.5, 30, 3.5)})
    clean, unseen = figures(table), figures(table, "b")
    zero = [
        "crack_length_m",
        "density_m_per_m2",
        "cracked_area_share",
        "zeb_share",
        "cracking_percent",
    ]
    assert [clean[name] for name in zero] == [0.0] * 5
    assert (clean["pci_cracking"], clean["pci_rating"], clean["cracking_rating"]) == (
        100,
        "good",
        "good",
    )
    assert clean["r85"]["pattern"]["between"] == {"length_m": 0.0, "width_mm": None}
    known = {"pavement_m2", "imaged_m2", "coverage", "confident"}
    assert all(pd.isna(value) for name, value in unseen.items() if name not in known)
    assert unseen["r85"] is None
    assert unseen["pci_rating"] is None
    assert (unseen["imaged_m2"], unseen["coverage"]) == (0.0, 0.0)
    assert not unseen["confident"]


def test_zones_that_were_not_imaged_are_null() -> None:
    middle = shapely.box(0, -2.0, 30, -1.5)
    r85 = figures(segment_measures(pieces([]), road(lanes=2), {"a": middle}))["r85"]
    assert r85["longitudinal"]["between"]["length_m"] == 0.0
    assert r85["longitudinal"]["wheel-path-left"] == {"length_m": None, "width_mm": None}


def test_true_metres_are_projected_ones_by_the_scale() -> None:
    # The same road in a projection that doubles lengths.
    def doubled(shape: Any) -> Any:
        return shapely.transform(
            shape, lambda xyz: xyz * [2, 2, 1][: xyz.shape[1]], include_z=shape.has_z
        )

    cracks, segment = pieces(CRACKS), road()
    far = cracks.assign(geometry=[doubled(one) for one in cracks["geometry"]])
    wide = segment.assign(
        line=[doubled(one) for one in segment["line"]],
        pavement=[doubled(one) for one in segment["pavement"]],
    )
    here, there = segment_measures(cracks, segment), segment_measures(far, wide, scale=2.0)
    numbers = here.select_dtypes("number").columns
    pd.testing.assert_frame_equal(here[numbers], there[numbers], rtol=1e-6)
    assert here["r85"].tolist() == there["r85"].tolist()


def test_widths_that_change_are_counted_by_portions() -> None:
    # 5 to 25 mm over 4 m: 10 mm is reached after a quarter.
    tapering = shapely.LineString([(5, 1, 5), (9, 1, 25)])
    unknown = shapely.LineString([(5, 2), (6, 2)])
    table = figures(segment_measures(pieces([tapering, unknown]), road()))
    assert table["length_low_m"] == pytest.approx(1.0)
    assert table["length_medium_m"] == pytest.approx(3.0)
    assert table["length_unknown_m"] == pytest.approx(1.0)
    named = classify_cracks(pieces([tapering, unknown]), road())
    assert named["severity"].tolist() == ["medium", None]


def test_cracks_off_the_lanes_are_kept_apart() -> None:
    wide = road().assign(pavement=pd.Series([shapely.box(0, -6, 30, 6)], dtype=object))
    aside = shapely.LineString([(1, 5, 3), (4, 5, 3)])
    table = figures(segment_measures(pieces([ALLIGATOR[0], aside]), wide))
    assert table["r85"]["longitudinal"]["off-lanes"] == {"length_m": 3.0, "width_mm": 3.0}
    assert table["zeb_share"] < 100 * 3 / 180
    assert DIAGONAL.length == pytest.approx(C_LENGTH)
