"""The map picture: imagery, segments coloured by crack density, cracks, and a look at the worst place."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from shapely.geometry.base import BaseGeometry

from pavemap.geo.crs import WGS84, ground_scale, reproject
from pavemap.geo.grid import Bounds
from pavemap.geo.imagery.mosaic import Mosaic
from pavemap.platform.exports.styling import (
    CRACK_COLOUR,
    DENSITY,
    NOT_IMAGED_COLOUR,
    DensityClass,
    colour_of,
    density_classes,
)
from pavemap.platform.maps import cartography as carto
from pavemap.platform.maps.map_text import fitted, fonts, lacking

WIDTH_IN, DPI = 13.0, 140
MARGIN_IN, GAP_IN = 0.35, 0.3
HEADER_IN, FOOTER_IN = 0.95, 0.45
DETAIL_IN = 4.0
"""Side of the square panels of the bottom row."""

MAP_HEIGHT_IN = (3.2, 9.0)
CANDIDATES = 200
"""Squares, of those with most cracks, from which the close look is chosen."""
CENTRING = 5
"""Steps, each way, in which the close look is moved until its cracks lie in the middle."""
LEGEND_STEPS = 400
"""Across the map: what the legend might hide is looked at in points so far apart."""

RANKED = 6
"""How many of the worst segments are numbered and listed."""


UNSURE = " (too little of it was seen)"


@dataclass(frozen=True)
class Scene:
    """What the picture shows, all of it in one metric CRS."""

    crs: CRS
    mosaic: Mosaic
    segments: NDArray[np.object_]
    densities: NDArray[np.float64]
    """NaN where nothing was imaged."""
    confident: NDArray[np.bool_]
    """Whether enough of a segment was imaged, finely enough."""
    labels: list[tuple[str, str]]
    """The road's name, and where on it the segment lies."""
    cracks: NDArray[np.object_]

    @cached_property
    def footprint(self) -> BaseGeometry:
        """What the imagery covers."""
        return shapely.union_all(self.mosaic.footprints)

    @property
    def ranking(self) -> list[int]:
        """Segments with cracks, the worst first."""
        known = np.flatnonzero(self.densities > 0.0)
        return [int(index) for index in known[np.argsort(-self.densities[known], kind="stable")]]


def draw_map(
    path: Path,
    *,
    mosaic: Mosaic,
    cracks: gpd.GeoDataFrame,
    segments: gpd.GeoDataFrame | None = None,
    title: str,
    subtitle: str = "",
    sources: str = "",
) -> str:
    """Write a PNG of a survey; `mosaic` gives the imagery and the CRS to draw in.

    `cracks` and `segments` are in EPSG:4326; segments have `density_m_per_m2` (null where nothing was
    imaged), `name`, `from_m` and `to_m`, and may have `confident`: where that is false, they are marked.
    Without segments the picture shows imagery and cracks. Returns the characters of its texts for which
    no font is installed; boxes stand for them.
    """
    from matplotlib import rc_context

    scene = _scene(mosaic, cracks, segments)
    families = fonts()
    with rc_context({"font.family": families}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # they are returned
        _draw(path, scene, title=title, subtitle=subtitle, sources=sources)
    names = [scene.labels[index][0] for index in scene.ranking[:RANKED]]
    return lacking([title, subtitle, sources, *names], families)


def _draw(path: Path, scene: Scene, *, title: str, subtitle: str, sources: str) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    focus = _focus(scene)
    map_in = WIDTH_IN - 2 * MARGIN_IN
    height_in = float(np.clip(map_in * _aspect(focus), *MAP_HEIGHT_IN))
    focus = carto.widened(focus, height_in / map_in)
    total = HEADER_IN + height_in + GAP_IN + DETAIL_IN + FOOTER_IN
    figure = Figure(figsize=(WIDTH_IN, total), dpi=DPI, facecolor=carto.PAPER)
    FigureCanvasAgg(figure)

    def panel(left: float, bottom: float, width: float, height: float) -> Any:
        return figure.add_axes((left / WIDTH_IN, bottom / total, width / WIDTH_IN, height / total))

    def line(text: str, height: float, style: dict[str, Any]) -> None:
        shown = fitted(figure, text, room_px=map_in * DPI, **style)
        figure.text(MARGIN_IN / WIDTH_IN, height / total, shown, **style)

    line(title, total - 0.42, carto.TITLE)
    line(subtitle, total - 0.72, carto.SUBTITLE)
    line(sources, 0.15, carto.FOOTNOTE)
    classes = density_classes(scene.densities.tolist())
    overview = panel(MARGIN_IN, FOOTER_IN + DETAIL_IN + GAP_IN, map_in, height_in)
    detail = _worst_place(scene, focus, DETAIL_IN * DPI)
    _draw_overview(overview, scene, focus, classes, detail)

    bare = panel(MARGIN_IN, FOOTER_IN, DETAIL_IN, DETAIL_IN)
    found = panel(MARGIN_IN + DETAIL_IN + GAP_IN / 2, FOOTER_IN, DETAIL_IN, DETAIL_IN)
    _draw_detail(bare, scene, detail, caption="Imagery", cracks=False)
    _draw_detail(found, scene, detail, caption="Cracks found", cracks=True)
    left = MARGIN_IN + 2 * DETAIL_IN + GAP_IN / 2 + 0.55
    if scene.ranking:
        ranking = panel(left, FOOTER_IN + 0.05, WIDTH_IN - MARGIN_IN - left, DETAIL_IN - 0.05)
        _draw_ranking(ranking, scene, classes)
    figure.savefig(path, dpi=DPI, facecolor=carto.PAPER)


def _scene(mosaic: Mosaic, cracks: gpd.GeoDataFrame, segments: gpd.GeoDataFrame | None) -> Scene:
    crs = mosaic.crs
    lines = reproject(shapely.force_2d(cracks.geometry.to_numpy()), WGS84, crs)
    if segments is None:
        return Scene(crs, mosaic, np.empty(0, object), np.empty(0), np.empty(0, bool), [], lines)
    polygons = reproject(shapely.force_2d(segments.geometry.to_numpy()), WGS84, crs)
    densities = segments[DENSITY].to_numpy(float, na_value=math.nan)
    labels = [
        (name if isinstance(name, str) and name else "Road", f", {start:.0f}–{stop:.0f} m")
        for name, start, stop in zip(segments.name, segments.from_m, segments.to_m, strict=True)
    ]
    sure = segments["confident"] if "confident" in segments else pd.Series(True, segments.index)
    confident = np.asarray(sure.fillna(False), bool)
    return Scene(crs, mosaic, polygons, densities, confident, labels, lines)


def _focus(scene: Scene) -> Bounds:
    """Return the bounds of what was imaged on the roads, with a margin."""
    imaged = scene.segments[np.isfinite(scene.densities)]
    cut = shapely.intersection(imaged, scene.footprint)
    shown = shapely.union_all(cut) if len(imaged) else None
    bounds = shapely.bounds(scene.footprint if shown is None or shown.is_empty else shown)
    margin = 0.04 * max(bounds[2] - bounds[0], bounds[3] - bounds[1])
    xmin, ymin, xmax, ymax = (float(value) for value in bounds)
    return xmin - margin, ymin - margin, xmax + margin, ymax + margin


def _draw_overview(
    axes: Any, scene: Scene, focus: Bounds, classes: Sequence[DensityClass], detail: Bounds
) -> None:
    carto.backdrop(axes, scene.mosaic, focus)
    known = np.isfinite(scene.densities)
    colours = [colour_of(density, classes) for density in scene.densities[known]]
    unseen = np.concatenate(
        [scene.segments[~known], shapely.difference(scene.segments[known], scene.footprint)]
    )
    carto.areas(axes, unseen, [NOT_IMAGED_COLOUR] * len(unseen), hatched=True)
    carto.areas(axes, shapely.intersection(scene.segments[known], scene.footprint), colours)
    carto.lines(axes, _within(scene.cracks, focus), colour="white", width=0.7)
    worst = shapely.intersection(scene.segments[scene.ranking[:RANKED]], scene.footprint)
    badges = shapely.point_on_surface(worst)
    for rank, (index, point) in enumerate(zip(scene.ranking, badges, strict=False), start=1):
        carto.badge(
            axes, point.x, point.y, str(rank), colours=_badge_colours(scene, index, classes)
        )
    carto.frame(axes, detail)
    carto.scale_bar(axes, focus, _scale(scene, focus))
    carto.north_arrow(axes)
    if len(scene.segments):
        spaced = (focus[2] - focus[0]) / LEGEND_STEPS
        carto.legend(
            axes,
            classes,
            clear_of=[
                shapely.get_coordinates(badges),
                _along(np.array([shapely.box(*detail).exterior]), spaced),
                _along(_within(scene.cracks, focus), spaced),
                _along(shapely.boundary(scene.segments[known]), spaced),
            ],
        )


def _draw_detail(axes: Any, scene: Scene, place: Bounds, *, caption: str, cracks: bool) -> None:
    carto.backdrop(axes, scene.mosaic, place)
    if cracks:
        carto.lines(axes, _within(scene.cracks, place), colour=CRACK_COLOUR, width=1.6)
    carto.scale_bar(axes, place, _scale(scene, place))
    carto.caption(axes, caption)


def _draw_ranking(axes: Any, scene: Scene, classes: Sequence[DensityClass]) -> None:
    worst = scene.ranking[:RANKED]
    carto.bars(
        axes,
        [float(scene.densities[index]) for index in worst],
        [_label(scene, index) for index in worst],
        [colour_of(scene.densities[index], classes) for index in worst],
        title="Worst segments, m of crack per m²",
    )


def _label(scene: Scene, index: int) -> tuple[str, str]:
    name, place = scene.labels[index]
    return name, place if scene.confident[index] else place + UNSURE


def _badge_colours(scene: Scene, index: int, classes: Sequence[DensityClass]) -> tuple[str, str]:
    colour = colour_of(scene.densities[index], classes)
    return colour, carto.ink_on(colour)


def _worst_place(scene: Scene, focus: Bounds, side_px: float) -> Bounds:
    """Return the square with most cracks in the worst segment, about one image pixel a screen pixel."""
    finest = min(photo.gsd_m for photo in scene.mosaic.orthophotos) * _scale(scene, focus)
    side = min(side_px * finest, 2.0 * (focus[3] - focus[1]))
    lines = scene.cracks
    if scene.ranking:
        worst = scene.segments[scene.ranking[0]]
        lines = shapely.intersection(lines[shapely.intersects(lines, worst)], worst)
    points = shapely.get_coordinates(shapely.segmentize(lines, side / 40))
    if len(points) == 0:
        middle = np.array([(focus[0] + focus[2]) / 2, (focus[1] + focus[3]) / 2])
    else:
        known = scene.segments[np.isfinite(scene.densities)]
        ground = shapely.union_all(known) if len(known) else scene.footprint
        middle = _centred(_densest(points, side, ground), points, side, scene.footprint)
    x, y = middle
    return float(x - side / 2), float(y - side / 2), float(x + side / 2), float(y + side / 2)


def _densest(points: NDArray[np.float64], side: float, ground: BaseGeometry) -> NDArray[np.float64]:
    """Return the centre of a square of a side that holds many points and little beside the ground.

    Squares are tried at steps of a quarter of their side.
    """
    step, low = side / 4, points.min(axis=0)
    cells = np.floor((points - low) / step).astype(np.int64)
    columns = int(cells[:, 0].max()) + 4
    filled, points_in = np.unique(cells[:, 1] * columns + cells[:, 0], return_counts=True)
    # A cell counts in the 16 squares that hold it, named by their upper right one.
    across, up = np.meshgrid(range(4), range(4))
    right = (filled % columns)[:, None] + across.ravel()
    top = (filled // columns)[:, None] + up.ravel()
    lasts, square = np.unique((top * columns + right).ravel(), return_inverse=True)
    held = np.bincount(square, np.repeat(points_in, across.size))
    best = np.argsort(-held, kind="stable")[:CANDIDATES]
    corners = np.stack([lasts[best] % columns, lasts[best] // columns], axis=-1)
    centres: NDArray[np.float64] = low + (corners - 1) * step
    squares = shapely.box(*(centres - side / 2).T, *(centres + side / 2).T)
    share = shapely.area(shapely.intersection(squares, ground)) / side**2
    chosen: NDArray[np.float64] = centres[int((held[best] * share**2).argmax())]
    return chosen


def _centred(
    centre: NDArray[np.float64], points: NDArray[np.float64], side: float, seen: BaseGeometry
) -> NDArray[np.float64]:
    """Move a square so that the points it holds lie in its middle, as far as there is imagery to show."""
    held = points[(np.abs(points - centre) <= 0.5001 * side).all(axis=1)]
    way = (held.min(axis=0) + held.max(axis=0)) / 2 - centre
    moves = np.linspace(0.0, 1.0, CENTRING)
    places = np.stack(np.meshgrid(moves, moves), axis=-1).reshape(-1, 2)
    centres: NDArray[np.float64] = centre + places * way
    squares = shapely.box(*(centres - side / 2).T, *(centres + side / 2).T)
    share = shapely.area(shapely.intersection(squares, seen)) / side**2
    chosen: NDArray[np.float64] = centres[int((share**2 * (1 + places.sum(axis=1))).argmax())]
    return chosen


def _along(lines: NDArray[np.object_], spaced: float) -> NDArray[np.float64]:
    """Return points along lines, so far apart at most."""
    points: NDArray[np.float64] = shapely.get_coordinates(shapely.segmentize(lines, spaced))
    return points


def _within(lines: NDArray[np.object_], bounds: Bounds) -> NDArray[np.object_]:
    hits: NDArray[np.object_] = lines[shapely.intersects(lines, shapely.box(*bounds))]
    return hits


def _aspect(bounds: Bounds) -> float:
    return (bounds[3] - bounds[1]) / (bounds[2] - bounds[0])


def _scale(scene: Scene, bounds: Bounds) -> float:
    """Return CRS metres per ground metre in the middle of some bounds."""
    return ground_scale(scene.crs, (bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2)
