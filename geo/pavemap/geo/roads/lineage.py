"""Finds the segments of an older network again on the roads of a newer one, so that histories hold.

The old segments are laid onto the new roads, whatever these are called and however they are cut or drawn:

    old    |---- A:0 ----|---- A:100 ----|---- A:200 ----|
    new  B |---------------------------|   C |------------------------->     moved by a metre, cut in two,
    found  |-------------|-------------|     |-----------|                   renumbered, made longer

1. *Place.* Points along each old segment look for the new road next to them that runs in the same or the
   opposite direction, within NEAR_M; a road of the same key is preferred, and may lie KEY_NEAR_M away.
   The old segment's ends, dropped onto that road, give the interval that it takes there.
2. *Cut.* Where roads are cut by length, the new ones are cut where the old segments ended, and only ground
   that no old segment covers is cut afresh: a road made longer at its start keeps its segments.
3. *Match.* A new segment goes on with an old one where they share SAME_SHARE of the longer of the two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from pyproj import CRS

from pavemap.geo.arrays import Floats, Integers, Objects, ranges
from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.roads.chainage import Ruler, lengths_m
from pavemap.geo.roads.cuts import Stretches
from pavemap.geo.roads.directions import direction_at
from pavemap.geo.roads.road_table import ImportNote

NEAR_M = 3.0
"""Farther away lies another carriageway, or the road was truly moved."""
KEY_NEAR_M = 15.0
"""A road of the same key is still the same when it was drawn again this far away."""
OTHER_KEY_M, OTHER_WAY_M = 2.0, 0.5
"""How much farther away a road seems whose key, or whose direction, is another."""
MAX_TURN = np.cos(np.radians(30.0))
SAME_SHARE = 0.8
NEW_SHARE = 0.2
"""New ground shorter than this share of a segment is added to the segment beside it."""
SAMPLES = 5
MAX_LISTED = 1_000


@dataclass(frozen=True)
class Previous:
    """The (N,) segments of the network that a new one replaces; lines in degrees (EPSG:4326)."""

    name: str
    first_id: Integers
    """The id under which the history of each began."""
    segment_key: Objects
    road_key: Objects
    lines: Objects
    by: str
    length_m: float | None


@dataclass(frozen=True)
class Placed:
    """Intervals that old segments take on new roads, in true metres from the start of the road."""

    old: Integers
    road: Integers
    begin_m: Floats
    end_m: Floats


def place(previous: Previous, ruler: Ruler, road_key: Objects, plane: CRS) -> Placed:
    """Lay old segments onto (R,) new roads with the keys `road_key`, in the ruler's plane."""
    flat = np.asarray(reproject(previous.lines, WGS84, plane), dtype=object)
    old = np.repeat(np.arange(len(flat)), SAMPLES)
    share = np.tile((np.arange(SAMPLES) + 0.5) / SAMPLES, len(flat))
    points = shapely.line_interpolate_point(flat[old], share, normalized=True)
    tree = shapely.STRtree(ruler.flat)
    sample, road = tree.query(points, predicate="dwithin", distance=NEAR_M)
    by_key = {key: index for index, key in enumerate(road_key.tolist())}
    same = np.array([by_key.get(key, -1) for key in previous.road_key.tolist()])[old]
    named = np.flatnonzero(same >= 0)
    sample, road = np.concatenate([sample, named]), np.concatenate([road, same[named]])
    away = shapely.distance(points[sample], ruler.flat[road])
    turn = _turn(flat[old[sample]], share[sample], ruler.flat[road], points[sample])
    alike = road == same[sample]
    fits = (np.abs(turn) >= MAX_TURN) & (away <= np.where(alike, KEY_NEAR_M, NEAR_M))
    seems = away + OTHER_KEY_M * ~alike + OTHER_WAY_M * (turn < 0.0)
    sample, road, seems = sample[fits], road[fits], seems[fits]
    order = np.lexsort((road, seems, sample))
    _, best = np.unique(sample[order], return_index=True)
    chosen: Integers = np.unique(
        np.column_stack([old[sample[order][best]], road[order][best]]), axis=0
    )
    return _intervals(flat, lengths_m(previous.lines), ruler, chosen[:, 0], chosen[:, 1])


def _turn(lines: Objects, share: Floats, roads: Objects, points: Objects) -> Floats:
    """Return the cosine of the angle between lines at a share of their length and roads beside them."""
    at = share * shapely.length(lines)
    along = direction_at(lines, at)
    beside = direction_at(roads, shapely.line_locate_point(roads, points))
    turn: Floats = (along * beside).sum(axis=1)
    return turn


def _intervals(
    flat: Objects, old_length: Floats, ruler: Ruler, old: Integers, road: Integers
) -> Placed:
    """Drop the two ends of old segments onto new roads; leave out what would be stretched too far."""
    length = ruler.true.length_m[road]
    ends = []
    for end, near in ((0.0, 0.25), (1.0, 0.75)):
        at, beside = (
            ruler.locate(road, shapely.line_interpolate_point(flat[old], share, normalized=True))
            for share in (end, near)
        )
        # On a ring the end may be found at the other end of the line.
        over = (np.abs(at - beside) > length / 2.0) & shapely.is_closed(ruler.flat[road])
        ends.append(np.where(over, np.where(beside > length / 2.0, length, 0.0), at))
    begin, end_ = np.minimum(*ends), np.maximum(*ends)
    true = (end_ > begin) & (end_ - begin <= old_length[old] / SAME_SHARE + 1.0)
    return Placed(old[true], road[true], begin[true], end_[true])


def carried(placed: Placed, ruler: Ruler, length_m: float) -> Stretches:
    """Cut new roads where the old segments on them ended, so that new ground comes apart from old."""
    road = np.concatenate([placed.road, placed.road])
    at_m = np.concatenate([placed.begin_m, placed.end_m])
    stretches = Stretches.between(road, at_m, length_m=ruler.true.length_m)
    _, stretch, shared = _shared(placed, stretches)
    covered = np.bincount(stretch, weights=shared, minlength=len(stretches.road))
    fresh = covered < stretches.length_m / 2.0
    return stretches.joined(fresh & (stretches.length_m < NEW_SHARE * length_m))


def successors(placed: Placed, stretches: Stretches, old_length: Floats) -> Integers:
    """Return, for (N,) stretches, the old segment that each goes on with, by index, or -1."""
    interval, stretch, shared = _shared(placed, stretches)
    old = placed.old[interval]
    longer = np.maximum(old_length[old], stretches.length_m[stretch])
    same = shared >= SAME_SHARE * longer
    old, stretch, share = old[same], stretch[same], (shared / longer)[same]
    result = np.full(len(stretches.road), -1, dtype=np.int64)
    order = np.lexsort((stretch, old, share))
    taken = np.full(len(old_length), -1, dtype=np.int64)
    taken[old[order]] = stretch[order]  # the last to write has the greatest share
    goes_on = np.flatnonzero(taken >= 0)
    share_of = np.zeros(len(old_length))
    np.maximum.at(share_of, old, share)
    order = np.argsort(share_of[goes_on], kind="stable")
    result[taken[goes_on[order]]] = goes_on[order]
    return result


def _shared(placed: Placed, stretches: Stretches) -> tuple[Integers, Integers, Floats]:
    """Return the pairs (interval, stretch) that share ground, and how many metres of it."""
    keys = stretches.road + 1j * stretches.begin_m
    low = np.searchsorted(keys, placed.road + 1j * placed.begin_m, side="right") - 1
    high = np.searchsorted(keys, placed.road + 1j * placed.end_m, side="left")
    interval, stretch = ranges(low, high)
    shared = np.minimum(placed.end_m[interval], stretches.end_m[stretch]) - np.maximum(
        placed.begin_m[interval], stretches.begin_m[stretch]
    )
    real = (shared > 0.0) & (stretches.road[stretch] == placed.road[interval])
    return interval[real], stretch[real], shared[real]


def lineage_notes(
    previous: Previous, *, lineage: Objects, segment_key: Objects
) -> list[ImportNote]:
    """Report which (N,) segments go on, which are new, and which are gone; MAX_LISTED of each by key.

    `lineage` holds the id under which a segment's history began, None for new ones.
    """
    name = previous.name
    goes_on = np.array([each is not None for each in lineage.tolist()], dtype=bool)
    kept = int(goes_on.sum())
    gone = ~np.isin(previous.first_id, lineage[goes_on].astype(np.int64))
    notes = [ImportNote("", f"segments of '{name}' found again", "their history goes on", kept)]
    for keys, problem, action in (
        (segment_key[~goes_on], f"segments not in '{name}'", "their history begins"),
        (previous.segment_key[gone], f"segments of '{name}' not found again", "their history ends"),
    ):
        listed = sorted(keys.tolist())[:MAX_LISTED]
        notes += [ImportNote(f"segment {key}", problem, action) for key in listed]
        if len(keys) > len(listed):
            notes.append(ImportNote("", problem, action, len(keys) - len(listed)))
    return notes if kept else notes[1:]
