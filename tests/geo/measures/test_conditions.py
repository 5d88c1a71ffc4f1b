"""Conditions of segments, worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import shapely

from pavemap.geo.measures.conditions import conditions, on_imaged_ground, within_pavement


def test_conditions_by_hand() -> None:
    segments = pd.DataFrame({"segment_id": [7, 8, 9, 10], "pavement_m2": [200.0, 100, 100, 50]})
    pieces = pd.DataFrame(
        {"segment_id": [7, 7, 7, 8], "crack_index": [0, 0, 1, 1], "length_m": [3.0, 1, 6, 2]}
    )
    table = conditions(
        segments,
        pieces=pieces,
        imaged_m2=pd.Series({7: 200.0, 8: 50.0}),
        cracked_m2=pd.Series({7: 0.05}),
        failed=[8],
        with_imagery=[7, 8, 9],
    )
    assert table.loc[7].to_dict() == {
        "crack_length_m": 10,
        "cracked_area_m2": 0.05,
        "imaged_m2": 200,
        "pavement_m2": 200,
        "coverage": 1,
        "density_m_per_m2": 0.05,
        "crack_count": 2,
        "reason": "",
    }
    assert table.loc[8, "density_m_per_m2"] == 2 / 50
    assert table["coverage"].tolist() == [1, 0.5, 0, 0]
    assert table["reason"].tolist() == ["", "failed", "no data", "no imagery"]
    assert table["density_m_per_m2"].isna().tolist() == [False, False, True, True]
    assert table["crack_count"].dropna().tolist() == [2, 1]
    for found in ("crack_count", "crack_length_m", "cracked_area_m2"):
        assert table[found].isna().tolist() == [False, False, True, True]


def test_imaged_ground_is_within_the_pavement_but_for_faults() -> None:
    """A pavement of 100 m2 with a border of 40 m: pixels of 1 cm may add 0.4 m2, and its scale 0.5 m2."""
    found = within_pavement(
        np.array([0.0, 60.0, 100.0, 100.4, 102.0]),
        pavement_m2=np.full(5, 100.0),
        pavements=np.array([shapely.box(0, 0, 10, 10)] * 5),
        gsd_m=0.01,
    )
    assert found.tolist() == [0.0, 60.0, 100.0, 100.0, 102.0]


def test_figures_on_imaged_ground_by_hand() -> None:
    figures = on_imaged_ground(
        np.array([50.0, 0.0]), length_m=np.array([10.0, 0.0]), area_m2=np.array([0.05, 0.0])
    )
    assert {name: values[0] for name, values in figures.items()} == pytest.approx(
        {
            "crack_length_m": 10.0,
            "density_m_per_m2": 0.2,
            "cracked_area_m2": 0.05,
            "cracked_area_share": 0.1,
        }
    )
    assert all(np.isnan(values[1]) for values in figures.values())
