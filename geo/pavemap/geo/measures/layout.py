"""The lanes, zones and thirds of every segment, as borders along it from right to left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from pavemap.geo.arrays import Floats, Integers
from pavemap.geo.measures.bits import Borders
from pavemap.geo.measures.params import MeasureParams
from pavemap.geo.measures.scene import SegmentGeometry
from pavemap.geo.roads.lanes import ZONES, Lane, lanes_of, zones_of

ZONES_RIGHT_TO_LEFT = ZONES[::-1]
WHEEL_PATHS = tuple(
    i for i, name in enumerate(ZONES_RIGHT_TO_LEFT) if name.startswith("wheel-path")
)


@dataclass(frozen=True)
class Layout:
    """Strips of one kind along S segments.

    borders: of all strips of a segment, side by side from right to left.
    segment, lane, kind: (Z,) of each strip: its segment, the index of its lane, its place in the lane
    from the right. The strips of a segment follow each other.
    """

    borders: Borders
    segment: Integers
    lane: Integers
    kind: Integers

    @property
    def right(self) -> Floats:
        """(Z,) offsets of the right edges in m."""
        edges: Floats = self.borders.offsets[np.arange(len(self.segment)) + self.segment]
        return edges

    @property
    def left(self) -> Floats:
        """(Z,) offsets of the left edges in m."""
        edges: Floats = self.borders.offsets[np.arange(len(self.segment)) + self.segment + 1]
        return edges

    @property
    def first(self) -> Integers:
        """(S + 1,) where the strips of each segment start."""
        return self.borders.starts - np.arange(len(self.borders.starts))

    def index_of(self, segment: Integers, strip: Integers) -> Integers:
        """Return the index in the layout of a segment's strip, -1 for a place beside all strips."""
        first = self.first
        inside = (strip >= 0) & (strip < (first[1:] - first[:-1])[segment])
        return np.asarray(np.where(inside, first[segment] + strip, -1), np.int64)


def zone_layout(segments: SegmentGeometry, params: MeasureParams) -> Layout:
    """Return the five zones of each lane (kind: index in `ZONES_RIGHT_TO_LEFT`)."""

    def edges(lane: Lane) -> list[float]:
        zones = zones_of(
            lane, wheel_path_m=params.wheel_path_m, wheel_spacing_m=params.wheel_spacing_m
        )
        return [zone.right_m for zone in zones[::-1]]

    return _layout(segments, params, edges)


def strip_layout(segments: SegmentGeometry, params: MeasureParams) -> Layout:
    """Return each lane's strips of equal width (ZTV ZEB-StB: thirds)."""

    def edges(lane: Lane) -> list[float]:
        width = (lane.left_m - lane.right_m) / params.zeb_strips
        return [lane.right_m + place * width for place in range(params.zeb_strips)]

    return _layout(segments, params, edges)


def _layout(
    segments: SegmentGeometry, params: MeasureParams, edges: Callable[[Lane], list[float]]
) -> Layout:
    """Lay out strips; segments of the same width, lanes and direction share one calculation."""

    @cache
    def one(
        width_m: float, lanes: int | None, oneway: bool
    ) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
        across = lanes_of(
            width_m,
            lanes=lanes,
            oneway=oneway,
            lane_width_m=params.lane_width_m,
            drive_on_right=params.drive_on_right,
        )
        across.sort(key=lambda lane: lane.right_m)
        rights = [edges(lane) for lane in across]
        return (
            np.array([*np.concatenate(rights), across[-1].left_m]),
            np.repeat([lane.index for lane in across], [len(right) for right in rights]),
            np.concatenate([np.arange(len(right)) for right in rights]),
        )

    found = [
        one(width, None if np.isnan(lanes) else int(lanes), bool(oneway))
        for width, lanes, oneway in zip(
            segments.width_m.tolist(), segments.lanes.tolist(), segments.oneway, strict=True
        )
    ]
    counts = np.array([len(borders) for borders, _, _ in found], np.int64)
    starts = np.concatenate([[0], np.cumsum(counts)])
    none = [(np.empty(0), np.empty(0, np.int64), np.empty(0, np.int64))]
    borders, lane, kind = (np.concatenate(part) for part in zip(*(found or none), strict=True))
    segment = np.repeat(np.arange(len(found)), np.diff(starts) - 1)
    return Layout(Borders(borders, starts.astype(np.int64)), segment, lane, kind)
