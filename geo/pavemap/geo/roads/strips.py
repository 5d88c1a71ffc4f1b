"""Draws what each road segment claims of the ground: a strip with flat ends, mended where ends meet.

1. *Strips.* A segment's centre-line is buffered by half its width, with flat ends and round bends.
2. *Wedges.* Where ends meet (two segments of a road, or roads at a junction) flat ends can leave one open
   wedge, in the gap of more than 180 degrees between two neighbouring arms:

            ______ a          the wedge is a sector of a disc of the narrower arm, halved along its
           |  .               bisector: one half goes to each arm.
           |    .
        ___|______o P
        wedge     |
                  | b
3. *Mitres.* Where exactly two arms of one width meet, the corner inside the bend, covered by both, is
   halved by the same line: each arm renounces the half beyond it, so it matters not which comes first.
4. *Borders.* Where roads lie side by side, such as two carriageways, a border parts them (`abreast`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from pavemap.geo.arrays import Floats, Integers, Objects
from pavemap.geo.roads.abreast import Abreast, find_abreast

NODE_CELL_M = 0.01
"""Ends in one cell of this size meet."""
MIN_WEDGE_RAD = 1e-5
MAX_MITRE_RAD = np.radians(120.0)
"""Sharper bends would need a mitre more than twice as long as the road is wide."""
QUAD_SEGMENTS = 4
"""Chords per quarter of a round bend: 22.5 degrees each."""
OVERSHOOT_M = 0.01
"""How far a mitre goes beyond the corner that it halves, so that no sliver of the rim stays."""


@dataclass(frozen=True)
class Owned:
    """(K,) geometries of a plane and the segment, by index, that each belongs to."""

    shapes: Objects
    owner: Integers

    def of(self, segments: Integers) -> Owned:
        """Return those of some segments (sorted), renumbered 0, 1, ... in that order."""
        chosen = np.isin(self.owner, segments)
        return Owned(self.shapes[chosen], np.searchsorted(segments, self.owner[chosen]))


@dataclass(frozen=True)
class Claims:
    """What (N,) segments claim (strips, then half wedges) and renounce (corners beyond a mitre).

    The mitres are lines, along which the ground must be cut for the corners to come apart; so are the
    borders between segments that lie side by side.
    """

    lines: Objects
    radius: Floats
    ground: Owned
    renounced: Owned
    mitres: Owned
    abreast: Abreast

    def of(self, segments: Integers) -> Claims:
        """Return the claims of some segments (sorted), renumbered 0, 1, ... in that order."""
        return Claims(
            self.lines[segments],
            self.radius[segments],
            self.ground.of(segments),
            self.renounced.of(segments),
            self.mitres.of(segments),
            self.abreast.of(segments),
        )


def claim_ground(lines: Objects, radius: Floats) -> Claims:
    """Draw the claims of (N,) LineStrings of a plane, each `radius` (N,) to both sides.

    The first N shapes of `ground` are the strips of the lines, in their order.
    """
    strips = shapely.buffer(
        lines, radius, cap_style="flat", join_style="round", quad_segs=QUAD_SEGMENTS
    )
    arms = _Arms.of(lines, radius)
    gaps = _Gaps.between(arms)
    wedges = _half_wedges(arms, gaps)
    ground = Owned(
        np.concatenate([strips, wedges.shapes]),
        np.concatenate([np.arange(len(lines)), wedges.owner]),
    )
    abreast = find_abreast(lines, radius, strips)
    return Claims(lines, radius, ground, *_corners(arms, gaps), abreast)


@dataclass(frozen=True)
class _Arms:
    """The 2N ends of N lines: arm 2i is the start of line i, arm 2i + 1 its end."""

    point: Floats
    """(2N, 2) in the plane."""
    direction: Floats
    """(2N,) radians, from the end into the line."""
    radius: Floats
    """(2N,) half the width."""

    @classmethod
    def of(cls, lines: Objects, radius: Floats) -> _Arms:
        points, owner = shapely.get_coordinates(lines, return_index=True)
        bounds = np.searchsorted(owner, np.arange(len(lines) + 1))
        first, last = bounds[:-1], bounds[1:] - 1
        ends = points[np.column_stack([first, last])].reshape(-1, 2)
        inner = points[np.column_stack([first + 1, last - 1])].reshape(-1, 2)
        along = inner - ends
        return cls(ends, np.arctan2(along[:, 1], along[:, 0]), np.repeat(radius, 2))


@dataclass(frozen=True)
class _Gaps:
    """The gaps of over 180 degrees around nodes, counter-clockwise from arm `left` to arm `right`.

    `turn` is what a gap has above 180 degrees, in radians; `only` says that the node has no third arm.
    """

    left: Integers
    right: Integers
    turn: Floats
    only: NDArray[np.bool_]

    @classmethod
    def between(cls, arms: _Arms) -> _Gaps:
        cells = np.floor(arms.point / NODE_CELL_M).astype(np.int64)
        _, node = np.unique(cells, axis=0, return_inverse=True)
        node = node.reshape(-1)
        order = np.lexsort((arms.direction, node))
        degree = np.bincount(node)
        first = np.cumsum(degree) - degree
        place = np.arange(len(order)) - first[node[order]]
        following = order[first[node[order]] + (place + 1) % degree[node[order]]]
        turn = (arms.direction[following] - arms.direction[order]) % (2.0 * np.pi) - np.pi
        # A loop closes on itself: its buffer is a ring already, with no flat ends to mend.
        wide = (turn > MIN_WEDGE_RAD) & (order // 2 != following // 2)
        left, right = order[wide], following[wide]
        return cls(left, right, turn[wide], degree[node[left]] == 2)


def _half_wedges(arms: _Arms, gaps: _Gaps) -> Owned:
    """Return the sectors of left and right arms, which meet on the bisector."""
    found: list[Objects] = []
    owners: list[Integers] = []
    chord = np.pi / 2.0 / QUAD_SEGMENTS
    for slight in (True, False):
        some = (gaps.turn <= 2.0 * chord) == slight
        steps = 1 if slight else QUAD_SEGMENTS
        left, right, turn = gaps.left[some], gaps.right[some], gaps.turn[some, None]
        radius = np.minimum(arms.radius[left], arms.radius[right])
        start = arms.direction[left][:, None] + np.pi / 2.0
        share = np.linspace(0.0, 0.5, steps + 1)[None, :]
        for arm, begin in ((left, 0.0), (right, 0.5)):
            arc = _around(arms.point[left], radius, start + (share + begin) * turn)
            found.append(_rings(np.concatenate([arms.point[left][:, None, :], arc], axis=1)))
            owners.append(arm // 2)
    return Owned(np.concatenate(found), np.concatenate(owners))


def _corners(arms: _Arms, gaps: _Gaps) -> tuple[Owned, Owned]:
    """Return the corners that arms renounce inside a bend, and the mitre of each."""
    fit = gaps.only & (gaps.turn < MAX_MITRE_RAD)
    fit &= np.isclose(arms.radius[gaps.left], arms.radius[gaps.right], rtol=1e-3, atol=0.0)
    left, right = gaps.left[fit], gaps.right[fit]
    arm, turn = np.concatenate([left, right]), np.tile(gaps.turn[fit], 2)
    apex = arms.point[np.tile(left, 2)]
    radius = np.tile(np.maximum(arms.radius[left], arms.radius[right]), 2) + OVERSHOOT_M
    side = np.repeat([-1.0, 1.0], len(left))
    normal = arms.direction[arm] + side * np.pi / 2.0
    corner = _around(apex, radius, normal[:, None])
    tip = _around(apex, radius / np.cos(turn / 2.0), (normal - side * turn / 2.0)[:, None])
    outward = -OVERSHOOT_M * _unit(arms.direction[arm])[:, None, :]
    centre = apex[:, None, :]
    corners = _rings(np.concatenate([centre, centre + outward, corner + outward, tip], axis=1))
    mitres = np.asarray(shapely.linestrings(np.concatenate([centre, tip], axis=1)), object)
    return Owned(corners, arm // 2), Owned(mitres, arm // 2)


def _around(centre: Floats, radius: Floats, angle: Floats) -> Floats:
    """Return (M, K, 2) points at (M, K) angles on circles around (M, 2) centres."""
    points: Floats = centre[:, None, :] + radius[:, None, None] * _unit(angle)
    return points


def _unit(angle: Floats) -> Floats:
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def _rings(points: Floats) -> Objects:
    """Make M polygons of (M, K, 2) corners."""
    return np.asarray(shapely.polygons(points), object)
