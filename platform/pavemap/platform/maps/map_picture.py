"""The map picture: imagery, segments coloured by crack density, cracks, and a look at the worst place."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from pavemap.geo.crs import WGS84, ground_scale, reproject
from pavemap.geo.grid import Bounds
from pavemap.geo.imagery.mosaic import Mosaic
from pavemap.geo.scratch import beside
from pavemap.platform.exports.styling import (
    CRACK_COLOUR,
    DENSITY,
    NOT_IMAGED_COLOUR,
    DensityClass,
    colour_of,
    density_classes,
)
from pavemap.platform.maps import cartography as carto
from pavemap.platform.maps.map_closeup import along, most_cracked
from pavemap.platform.maps.map_text import fitted, fonts, lacking

if TYPE_CHECKING:
    from pavemap.platform.file_survey.seen_ground import SeenGround

WIDTH_IN, DPI = 13.0, 140
MARGIN_IN, GAP_IN = 0.35, 0.3
HEADER_IN, FOOTER_IN = 0.95, 0.45
DETAIL_IN = 4.0
"""Side of the square panels of the bottom row."""

MAP_HEIGHT_IN = (3.2, 9.0)
LEGEND_STEPS = 400
"""Across the map: what the legend might hide is looked at in points so far apart."""

SEAM_PX = 2
"""Outlines of what cells imaged may stray by a pixel; so little between two of them is no gap."""

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
    imaged: NDArray[np.object_]
    """The part of each segment that was imaged."""

    @cached_property
    def unseen(self) -> NDArray[np.object_]:
        """The parts of segments that were not imaged."""
        short = shapely.area(self.imaged) < shapely.area(self.segments)
        rest: NDArray[np.object_] = shapely.difference(self.segments[short], self.imaged[short])
        return rest

    @property
    def ranking(self) -> list[int]:
        """Segments with cracks, the worst first."""
        known = np.flatnonzero(self.densities > 0.0)
        return [int(index) for index in known[np.argsort(-self.densities[known], kind="stable")]]


def draw_map(
    path: Path,
    *,
    mosaic: Mosaic,
    seen: SeenGround,
    cracks: gpd.GeoDataFrame,
    segments: gpd.GeoDataFrame | None = None,
    title: str,
    subtitle: str = "",
    sources: str = "",
) -> str:
    """Write a PNG of a survey; `mosaic` gives the imagery and the CRS to draw in, `seen` what was imaged.

    `cracks` and `segments` are in EPSG:4326; segments have `density_m_per_m2` (null where nothing was
    imaged), `name`, `from_m` and `to_m`, and may have `confident`: where that is false, they are marked.
    Without segments the picture shows imagery and cracks. Returns the characters of its texts for which
    no font is installed; boxes stand for them.
    """
    from matplotlib import rc_context

    scene = _scene(mosaic, seen, cracks, segments)
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
    path = path.resolve()  # a link stays one
    with beside(path) as folder:
        figure.savefig(folder / path.name, dpi=DPI, facecolor=carto.PAPER)
        (folder / path.name).replace(path)


def _scene(
    mosaic: Mosaic, seen: SeenGround, cracks: gpd.GeoDataFrame, segments: gpd.GeoDataFrame | None
) -> Scene:
    crs = mosaic.crs
    lines = reproject(shapely.force_2d(cracks.geometry.to_numpy()), WGS84, crs)
    if segments is None:
        none = np.empty(0, object)
        return Scene(crs, mosaic, none, np.empty(0), np.empty(0, bool), [], lines, none)
    polygons = reproject(shapely.force_2d(segments.geometry.to_numpy()), WGS84, crs)
    densities = segments[DENSITY].to_numpy(float, na_value=math.nan)
    labels = [
        (name if isinstance(name, str) and name else "Road", f", {start:.0f}–{stop:.0f} m")
        for name, start, stop in zip(segments.name, segments.from_m, segments.to_m, strict=True)
    ]
    sure = segments["confident"] if "confident" in segments else pd.Series(True, segments.index)
    confident = np.asarray(sure.fillna(False), bool)
    imaged = _sealed(seen.of(polygons), polygons, by_m=SEAM_PX * seen.grid.gsd_m)
    return Scene(crs, mosaic, polygons, densities, confident, labels, lines, imaged)


def _sealed(
    imaged: NDArray[np.object_], segments: NDArray[np.object_], *, by_m: float
) -> NDArray[np.object_]:
    """Close the seams between what cells imaged of segments."""
    cut = shapely.area(imaged) < shapely.area(segments)
    grown = shapely.buffer(imaged[cut], by_m, join_style="mitre")
    sealed = imaged.copy()
    sealed[cut] = shapely.intersection(
        shapely.buffer(grown, -by_m, join_style="mitre"), segments[cut]
    )
    return sealed


def _focus(scene: Scene) -> Bounds:
    """Return the bounds of what was imaged on the roads, with a margin."""
    shown = scene.imaged[np.isfinite(scene.densities)]
    bounds = shapely.total_bounds(
        scene.mosaic.footprints if shapely.is_empty(shown).all() else shown
    )
    margin = 0.04 * max(bounds[2] - bounds[0], bounds[3] - bounds[1])
    xmin, ymin, xmax, ymax = (float(value) for value in bounds)
    return xmin - margin, ymin - margin, xmax + margin, ymax + margin


def _draw_overview(
    axes: Any, scene: Scene, focus: Bounds, classes: Sequence[DensityClass], detail: Bounds
) -> None:
    carto.backdrop(axes, scene.mosaic, focus)
    known = np.isfinite(scene.densities)
    colours = [colour_of(density, classes) for density in scene.densities[known]]
    carto.areas(axes, scene.unseen, [NOT_IMAGED_COLOUR] * len(scene.unseen), hatched=True)
    carto.areas(axes, scene.imaged[known], colours)
    carto.lines(axes, _within(scene.cracks, focus), colour="white", width=0.7)
    badges = shapely.point_on_surface(scene.imaged[scene.ranking[:RANKED]])
    for rank, (index, point) in enumerate(zip(scene.ranking, badges, strict=False), start=1):
        if not point.is_empty:  # of less than a pixel there is no outline
            colours_of = _badge_colours(scene, index, classes)
            carto.badge(axes, point.x, point.y, str(rank), colours=colours_of)
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
                along(np.array([shapely.box(*detail).exterior]), spaced),
                along(_within(scene.cracks, focus), spaced),
                along(shapely.boundary(scene.segments[known]), spaced),
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
    imagery = scene.mosaic.footprints
    known = scene.segments[np.isfinite(scene.densities)]
    ground = known if len(known) else imagery
    return most_cracked(lines, side=side, ground=ground, imagery=imagery, otherwise=focus)


def _within(lines: NDArray[np.object_], bounds: Bounds) -> NDArray[np.object_]:
    hits: NDArray[np.object_] = lines[shapely.intersects(lines, shapely.box(*bounds))]
    return hits


def _aspect(bounds: Bounds) -> float:
    return (bounds[3] - bounds[1]) / (bounds[2] - bounds[0])


def _scale(scene: Scene, bounds: Bounds) -> float:
    """Return CRS metres per ground metre in the middle of some bounds."""
    return ground_scale(scene.crs, (bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2)
