"""Draws what is known of the ground as a label mask: crack, sound, or not known.

Per pixel, by its centre (lines and polygons thinner than a pixel are drawn a pixel wide), in this order:

1. Outside the areas that were looked at whole nothing is known.
2. A drawn crack is crack.
3. A confirmed crack is crack. Where a rejected line runs over it reviewers contradict each other, and
   nothing is known there.
4. A rejected line is sound.
5. Nothing is known of a crack that a model found and nobody judged, and of a rim around it.
6. All else in those areas is sound.

So a crack that was measured again, and found a little beside its old line, does no harm: what was said
of the old line holds where that lies, and only the rest of the new one is not known.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize

from pavemap.geo.arrays import Objects
from pavemap.geo.crs import ground_scale
from pavemap.geo.grid import Window

CRACK, SOUND, IGNORE = 255, 0, 127
"""Values of a mask; a reader that knows of two values only takes IGNORE for sound, not for crack."""

RIM_PX = 2.0
"""Around a crack that nobody judged: if it is one, its true edge may be a little farther out."""

CIRCLE = 32
"""Corners of the polygon that stands for a circle. It is drawn around it: no line gets too thin."""

LEAST_RADIUS_PX = 0.5
"""A line is drawn one pixel wide at least: then its pixels hang together in any direction."""


def _none() -> Objects:
    return np.empty(0, object)


@dataclass(frozen=True)
class Layer:
    """Lines (LineString Z, z the width in true mm, 0 where not known) or polygons, in one plane."""

    shapes: Objects = field(default_factory=_none)

    @cached_property
    def tree(self) -> shapely.STRtree:
        """Finds shapes by place."""
        return shapely.STRtree(self.shapes)

    @cached_property
    def widest_mm(self) -> float:
        """The greatest width of a line."""
        widths = shapely.get_coordinates(self.shapes, include_z=True)[:, 2]
        return float(np.nan_to_num(widths).max(initial=0.0))

    def painted(
        self, window: Window, *, rim_px: float = 0.0, hairlines: bool = True
    ) -> NDArray[np.bool_]:
        """Return (H, W) which pixels have their centre in a shape widened by a rim.

        With `hairlines` polygons thinner than a pixel are drawn as lines are: a pixel wide at least.
        """
        px_per_mm = _px_per_mm(window)
        reach = (self.widest_mm * px_per_mm / 2.0 + rim_px + 1.0) * window.gsd_m
        near = np.sort(self.tree.query(shapely.buffer(window.box(), reach, join_style="mitre")))
        found = self.shapes[near]
        is_line = shapely.get_dimensions(found) == 1
        polygons = window.to_pixels(shapely.force_2d(found[~is_line]))
        lines = window.to_pixels(found[is_line])
        if hairlines:
            lines = np.concatenate([lines, _rings(polygons[are_hairlines(polygons)])])
        if rim_px:
            polygons = shapely.buffer(polygons, rim_px)
        return _filled(
            np.concatenate([polygons, _strokes(lines, px_per_mm, rim_px=rim_px)]), window
        )


@dataclass(frozen=True)
class GroundLabels:
    """What people said of the ground, in the working CRS of the windows that are asked for."""

    areas: Layer
    """Looked at whole."""
    drawn: Layer = Layer()
    confirmed: Layer = Layer()
    rejected: Layer = Layer()
    unjudged: Layer = Layer()

    def mask(self, window: Window) -> NDArray[np.uint8]:
        """Return (H, W) CRACK, SOUND or IGNORE, whether there is imagery or not."""
        known = self.areas.painted(window, hairlines=False)
        mask = np.full(known.shape, IGNORE, np.uint8)
        if not known.any():
            return mask
        drawn, confirmed = self.drawn.painted(window), self.confirmed.painted(window)
        rejected = self.rejected.painted(window)
        unjudged = self.unjudged.painted(window, rim_px=RIM_PX)
        mask[known] = SOUND
        mask[known & unjudged & ~rejected] = IGNORE
        mask[known & confirmed] = CRACK
        mask[known & confirmed & rejected] = IGNORE
        mask[known & drawn] = CRACK
        return mask


def are_hairlines(polygons: Objects) -> NDArray[np.bool_]:
    """Return (N,) which polygons, in pixels, are thinner than one: they may hold no pixel's centre.

    How thin one is, is told by the rectangle of its area and perimeter.
    """
    half = shapely.length(polygons) / 2
    width_px = (half - np.sqrt(np.maximum(half**2 - 4 * shapely.area(polygons), 0))) / 2
    thin: NDArray[np.bool_] = width_px < 1 - 1e-6
    return thin


def _rings(polygons: Objects) -> Objects:
    """Return the boundaries of polygons, each ring by itself."""
    rings: Objects = shapely.get_parts(shapely.boundary(shapely.get_parts(polygons)))
    return rings


def _px_per_mm(window: Window) -> float:
    left, bottom, right, top = window.bounds
    scale = ground_scale(window.crs, (left + right) / 2.0, (bottom + top) / 2.0)
    return scale / (1000.0 * window.gsd_m)


def _strokes(lines: Objects, px_per_mm: float, *, rim_px: float) -> Objects:
    """Return each step of lines as the hull of two circles, as wide as the line is at its two ends."""
    points, line = shapely.get_coordinates(lines, include_z=True, return_index=True)
    if len(points) < 2:
        return _none()
    width_px = np.nan_to_num(points[:, 2]) * px_per_mm
    radius = np.maximum(width_px / 2.0, LEAST_RADIUS_PX) + rim_px
    turn = np.arange(CIRCLE) * (2.0 * np.pi / CIRCLE)
    circle = np.column_stack([np.cos(turn), np.sin(turn)]) / np.cos(np.pi / CIRCLE)
    circles = points[:, None, :2] + radius[:, None, None] * circle
    step = np.flatnonzero(line[1:] == line[:-1])
    corners = np.concatenate([circles[step], circles[step + 1]], axis=1)
    numbers = np.repeat(np.arange(len(step)), 2 * CIRCLE)
    hulls = shapely.convex_hull(shapely.multipoints(corners.reshape(-1, 2), indices=numbers))
    return np.atleast_1d(np.asarray(hulls, object))


def _filled(polygons: Objects, window: Window) -> NDArray[np.bool_]:
    shape = (window.height, window.width)
    polygons = polygons[~shapely.is_empty(polygons)]
    if not len(polygons):
        return np.zeros(shape, np.bool_)
    burnt = rasterize(((polygon, 1) for polygon in polygons), out_shape=shape, dtype=np.uint8)
    return np.asarray(burnt, np.bool_)
