"""Why pavement was not imaged, or not well enough."""

from __future__ import annotations

import numpy as np
import shapely

from pavemap.geo.measures.shortfall import SurveyedGround, coarsest_m, shortfall


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
        too_coarse=np.zeros(5),
        ground=SurveyedGround(
            np.array([shapely.box(0, 0, 4, 4), shapely.box(2, 0, 6, 4)], dtype=object),
            failed_cells=np.array([shapely.box(0.0, 3.0, 5.0, 4.0)]),
        ),
    )
    assert found.tolist() == ["", "no imagery", "no data", "failed", ""]


def test_ground_that_only_coarse_imagery_shows_is_too_coarse_but_not_unseen() -> None:
    """
    Pavements 10 m x 1 m, imagery on all of them.

    0: all seen, 4 m of it in coarse imagery only     1: 7 m seen, 1 m of it in coarse imagery
    2: nothing seen                                   3: all seen
    """
    found = shortfall(
        np.array([shapely.box(0.0, low, 10.0, low + 1.0) for low in range(4)]),
        coverage=np.array([1.0, 0.7, 0.0, 1.0]),
        too_coarse=np.array([0.4, 0.1, 0.0, 0.0]),
        ground=SurveyedGround(np.array([shapely.box(0, 0, 10, 4)]), np.empty(0, object)),
    )
    assert found.tolist() == ["too coarse", "no data", "no data", ""]


def test_a_model_card_says_how_coarse_imagery_may_be() -> None:
    assert coarsest_m({"gsd_range_m": [0.001, 0.004]}) == 0.004
    assert coarsest_m({}) is None
