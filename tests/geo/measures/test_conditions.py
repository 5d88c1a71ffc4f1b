"""Conditions of segments, worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import shapely

from pavemap.geo.measures.conditions import (
    CountedGround,
    condition_figures,
    ground_figures,
    within_pavement,
)
from pavemap.geo.measures.shortfall import SurveyedGround


def test_figures_of_segments_by_hand() -> None:
    """
    Pavements 10 m x 10 m, of which imagery lies on all but the last; a cell on the west half of the
    second failed.

    0: all seen, 20 m of two cracks     1: its east half seen           2: no imagery
    3: 85 m2 seen, 5 of these too coarse: what is left of the coverage is just the least
    4: the same, and 0.1 m2 more of it too coarse
    """
    pavements = np.array([shapely.box(0, low, 10, low + 10) for low in (0, 10, 20, 30, 40)])
    found = condition_figures(
        CountedGround(
            segment_id=np.arange(5),
            pavement=pavements,
            pavement_m2=np.full(5, 100.0),
            imaged_m2=np.array([100.2, 50.0, 0.0, 85.0, 85.0]),
            coarse_m2=np.array([0.0, 0.0, 0.0, 5.0, 5.1]),
        ),
        pieces=pd.DataFrame(
            {
                "segment_id": [0, 0, 0, 3],
                "crack_id": [7, 9, 7, 8],
                "length_m": [12.0, 5.0, 3.0, 8.5],
            }
        ),
        measured=pd.DataFrame(
            {"cracked_area_m2": [0.0, 0.05], "zeb_share": [3.0, 25.0]}, index=[3, 0]
        ),
        ground=SurveyedGround(
            footprints=np.delete(pavements, 2), failed_cells=np.array([shapely.box(0, 10, 5, 20)])
        ),
        gsd_m=0.01,
        min_coverage=0.8,
    )
    nothing = [False, False, True, False, False]
    assert found["imaged_m2"].tolist() == [100.0, 50.0, 0.0, 85.0, 85.0]
    assert found["coverage"].tolist() == [1.0, 0.5, 0.0, 0.85, 0.85]
    assert found["too_coarse"].tolist() == pytest.approx([0.0, 0.0, 0.0, 0.05, 0.051])
    assert found["confident"].tolist() == [True, False, False, True, False]
    assert found["reason"].tolist() == ["", "failed", "no imagery", "no data", "no data"]
    assert found["crack_count"].tolist() == [2, 0, None, 1, 0]
    assert found["density_m_per_m2"][:2].tolist() == [0.2, 0.0]
    assert found["density_m_per_m2"][3] == pytest.approx(0.1)
    assert found["cracked_area_share"][0] == pytest.approx(0.05)
    assert np.array_equal(found["zeb_share"], [25.0, np.nan, np.nan, 3.0, np.nan], equal_nan=True)
    for name in ("crack_length_m", "cracked_area_m2", "density_m_per_m2", "cracked_area_share"):
        assert np.isnan(found[name]).tolist() == nothing


@pytest.mark.parametrize(
    ("coverage", "coarse"), [(0.85, 0.05), (0.95, 0.15), (0.9, 0.1), (1.0, 0.2)]
)
def test_rounding_of_shares_takes_no_confidence(coverage: float, coarse: float) -> None:
    found = ground_figures(
        np.array([coverage]),
        pavement_m2=np.ones(1),
        coarse_share=np.array([coarse / coverage]),
        crack_length_m=np.zeros(1),
        cracked_area_m2=np.zeros(1),
        min_coverage=0.8,
    )
    assert found["confident"].tolist() == [True]


def test_imaged_ground_is_within_the_pavement_but_for_faults() -> None:
    """A pavement of 100 m2 with a border of 40 m: pixels of 1 cm may add 0.4 m2, and its scale 0.5 m2."""
    counted = CountedGround(
        segment_id=np.arange(5),
        pavement=np.array([shapely.box(0, 0, 10, 10)] * 5),
        pavement_m2=np.full(5, 100.0),
        imaged_m2=np.array([0.0, 60.0, 100.0, 100.4, 102.0]),
        coarse_m2=np.zeros(5),
    )
    found = within_pavement(counted, gsd_m=0.01)
    assert found.tolist() == [0.0, 60.0, 100.0, 100.0, 102.0]


def test_figures_on_imaged_ground_by_hand() -> None:
    figures = ground_figures(
        np.array([50.0, 0.0]),
        pavement_m2=np.array([100.0, 100.0]),
        coarse_share=np.array([0.2, 0.0]),
        crack_length_m=np.array([10.0, 0.0]),
        cracked_area_m2=np.array([0.05, 0.0]),
        min_coverage=0.4,
    )
    assert figures["coverage"].tolist() == [0.5, 0.0]
    assert figures["too_coarse"].tolist() == pytest.approx([0.1, 0.0])
    assert figures["confident"].tolist() == [True, False]
    of_cracks = {
        "crack_length_m": 10.0,
        "density_m_per_m2": 0.2,
        "cracked_area_m2": 0.05,
        "cracked_area_share": 0.1,
    }
    assert {name: figures[name][0] for name in of_cracks} == pytest.approx(of_cracks)
    assert all(np.isnan(figures[name][1]) for name in of_cracks)
