"""Why pavement was not imaged, or not well enough."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely

from pavemap.geo.measures.shortfall import shortfall, too_coarse


def test_the_main_reason_is_that_of_the_greatest_part_not_seen() -> None:
    """
    Pavements 10 m x 1 m, side by side; imagery from 0 to 6 m of each, in two overlapping tiles.

    0: whole               1: 60 % seen, the rest without imagery
    2: nothing seen, its imagery holds no data (6 m) and 4 m have none
    3: as 2, but a cell over 0 to 5 m failed: 5 m failed, 4 m without imagery, 1 m without data
    4: no pavement at all
    """
    pavements = [shapely.box(0.0, low, 10.0, low + 1.0) for low in range(4)]
    found = shortfall(
        np.array([*pavements, shapely.Polygon()], dtype=object),
        coverage=np.array([0.995, 0.6, 0.0, 0.0, 0.0]),
        footprints=np.array([shapely.box(0, 0, 4, 4), shapely.box(2, 0, 6, 4)], dtype=object),
        coarse=np.zeros(2, np.bool_),
        failed_cells=np.array([shapely.box(0.0, 3.0, 5.0, 4.0)]),
    )
    assert found.reason.tolist() == ["", "no imagery", "no data", "failed", ""]


def test_ground_that_only_coarse_imagery_shows_is_too_coarse_but_not_unseen() -> None:
    """
    Pavements 10 m x 1 m: fine imagery from 0 to 6 m, coarse imagery from 0 to 10 m.

    0: all seen, 4 m of it in coarse imagery only     1: all of the fine, 1 m of the coarse seen
    2: nothing seen                                   3: as 0, were the coarse imagery fine enough
    """
    pavements = np.array([shapely.box(0.0, low, 10.0, low + 1.0) for low in range(4)])
    footprints = np.array([shapely.box(0, 0, 6, 4), shapely.box(0, 0, 10, 4)])
    asked: dict[str, Any] = {
        "coverage": np.array([1.0, 0.7, 0.0, 1.0]),
        "footprints": footprints,
        "failed_cells": np.empty(0, object),
    }
    coarse = too_coarse([0.002, 0.02], coarsest_m=0.004)
    assert coarse.tolist() == [False, True]
    found = shortfall(pavements, coarse=coarse, **asked)
    assert found.reason.tolist() == ["too coarse", "no data", "no data", "too coarse"]
    assert found.too_coarse == pytest.approx([0.4, 0.1, 0.0, 0.4])
    fine = shortfall(pavements, coarse=too_coarse([0.002, 0.0041], coarsest_m=0.004), **asked)
    assert fine.reason.tolist() == ["", "no data", "no data", ""]
    assert not too_coarse([9.0], coarsest_m=None).any()
