"""A network imported again: segments found again whatever was edited, and those that are not, reported."""

from __future__ import annotations

import math

import geopandas
import numpy as np
import pytest

from drawn_roads import Line, drawn_network
from pavemap.geo.roads.lineage import Previous, lineage_notes
from pavemap.geo.roads.road_defaults import SegmentsBy
from pavemap.geo.roads.segments import segment_network

Roads = dict[str, tuple[Line, float]]
STREET: Roads = {"A": ([(0, 0), (1000, 0)], 7.0)}
OTHER: Roads = {"N": ([(0, 200), (500, 200)], 7.0)}


def first(roads: Roads, *, by: SegmentsBy = "length") -> tuple[geopandas.GeoDataFrame, Previous]:
    """Cut roads, and describe the result as a stored network whose segments have the ids 1, 2, ..."""
    cut = segment_network(drawn_network(roads), by=by)
    return cut, Previous(
        name="old",
        first_id=np.arange(1, len(cut) + 1),
        segment_key=cut["segment_key"].to_numpy(object),
        road_key=cut["road_key"].to_numpy(object),
        lines=cut["line"].to_numpy(),
        by=by,
        length_m=100.0 if by.endswith("length") else None,
    )


def again(old: Roads, new: Roads, *, by: SegmentsBy = "length") -> geopandas.GeoDataFrame:
    """Cut `new` roads as the successors of `old` ones."""
    return segment_network(drawn_network(new), by=by, previous=first(old, by=by)[1])


TEN = list(range(1, 11))
KEYS = [f"A:{100 * k}" for k in range(10)]


@pytest.mark.parametrize(
    "edited",
    [
        pytest.param({"A": ([(0, 0), (1000, 0)], 7.0)}, id="nothing"),
        pytest.param({"A": ([(0, 1), (1000, 1)], 7.0)}, id="moved by a metre"),
        pytest.param({"A": ([(0, 0), (430, 0.2), (1000, 0)], 7.0)}, id="a vertex added"),
        pytest.param({"B": ([(0, 0), (1000, 0)], 7.0)}, id="renumbered"),
        pytest.param({"A": ([(1000, 0), (0, 0)], 7.0)}, id="reversed"),
        pytest.param({"A": ([(0, 0), (1004, 0)], 7.0)}, id="a little longer"),
        pytest.param({"A": ([(0, 8), (1000, 8)], 9.0)}, id="realigned and widened"),
        pytest.param(
            {"B1": ([(0, 0), (400, 0)], 7.0), "B2": ([(400, 0), (1000, 0)], 7.0)}, id="split in two"
        ),
    ],
)
def test_a_small_edit_keeps_every_segment(edited: Roads) -> None:
    after = again(STREET | OTHER, edited | OTHER).sort_values("lineage")

    assert after["lineage"].tolist() == list(range(1, 16))
    assert after["segment_key"].tolist()[:10] == KEYS


def test_a_road_made_longer_at_its_start_keeps_its_segments() -> None:
    #  -160      0                      1000
    #    | 2 new |1|2|3|4|5|6|7|8|9|10|
    after = again(STREET, {"A": ([(-160, 0), (1000, 0)], 7.0)})

    assert after["lineage"].tolist() == [None, None, *TEN]
    assert after["segment_key"].tolist() == ["A:0~1", "A:100~1", *KEYS]
    assert after["length_m"].tolist() == pytest.approx([80.0] * 2 + [100.0] * 10, rel=1e-5)


def test_a_segment_that_is_split_goes_on_where_most_of_it_is() -> None:
    split: Roads = {"B": ([(0, 0), (415, 0)], 7.0), "C": ([(415, 0), (1000, 0)], 7.0)}
    after = again(STREET, split)
    middle: Roads = {"B": ([(0, 0), (450, 0)], 7.0), "C": ([(450, 0), (1000, 0)], 7.0)}
    halves = again(STREET, middle)

    # 85 of 100 m are the same segment; of two halves neither is.
    assert sorted(after["lineage"].dropna()) == TEN
    assert sorted(halves["lineage"].dropna()) == [1, 2, 3, 4, 6, 7, 8, 9, 10]
    assert halves["length_m"].tolist() == pytest.approx([100.0] * 4 + [50.0] * 2 + [100.0] * 5)


def test_a_key_that_now_names_another_road_is_not_followed() -> None:
    swapped = {"A": OTHER["N"], "N": STREET["A"]}
    after = again(STREET | OTHER, swapped)

    assert after["lineage"].tolist() == [*range(11, 16), *TEN]
    assert after["segment_key"].tolist()[0] == "N:0"


def test_the_carriageway_beside_it_is_another_road() -> None:
    pair: Roads = {"A": ([(0, 0), (300, 0)], 7.0), "B": ([(300, 9), (0, 9)], 7.0)}
    after = again(pair, {"B": pair["B"]})

    assert after["lineage"].tolist() == [4, 5, 6]


def test_a_ring_keeps_its_segments() -> None:
    angles = np.linspace(0.0, 2.0 * math.pi, 121)
    circle = [(60 * math.cos(a), 60 * math.sin(a)) for a in angles[:-1]]
    ring: Roads = {"R": ([*circle, circle[0]], 7.0)}
    turned: Roads = {"Q": ([circle[0], *circle[:0:-1], circle[0]], 7.0)}

    assert len(first(ring)[0]) == 4
    assert again(ring, ring)["lineage"].tolist() == [1, 2, 3, 4]
    assert again(ring, turned)["lineage"].tolist() == [4, 3, 2, 1]


def test_what_is_cut_elsewhere_begins_a_history_of_its_own() -> None:
    crossing: Roads = STREET | {"X": ([(500, -100), (500, 100)], 5.0)}
    after = again(STREET, crossing, by="intersections")

    assert after["lineage"].tolist() == [None] * 4


def test_new_and_vanished_segments_are_reported() -> None:
    before, previous = first(STREET)
    after = segment_network(
        drawn_network({"A": ([(0, 0), (800, 0)], 7.0)} | OTHER), previous=previous
    )
    notes = lineage_notes(
        previous,
        lineage=after["lineage"].to_numpy(object),
        segment_key=after["segment_key"].to_numpy(object),
    )
    told = [(note.feature, note.problem, note.action, note.count) for note in notes]

    assert len(before) == 10
    assert told[0] == ("", "segments of 'old' found again", "their history goes on", 8)
    assert told[1] == ("segment N:0", "segments not in 'old'", "their history begins", 1)
    assert told[-1] == (
        "segment A:900",
        "segments of 'old' not found again",
        "their history ends",
        1,
    )
    assert len(told) == 1 + 5 + 2
