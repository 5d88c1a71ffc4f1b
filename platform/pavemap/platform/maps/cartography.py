"""The marks of a map on matplotlib axes: backdrop, areas, lines, scale bar, north arrow, legend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from pavemap.geo.grid import Bounds, Window
from pavemap.geo.imagery.mosaic import Mosaic
from pavemap.geo.imagery.resample import MAX_REDUCTION, Resampler
from pavemap.platform.exports.styling import NOT_IMAGED_COLOUR, DensityClass
from pavemap.platform.maps.map_text import fitted

PAPER, GROUND, INK, FAINT = "#fbfaf7", "#efece5", "#22242a", "#6d6f75"

FINEST = MAX_REDUCTION - 4
"""Pixels of imagery across one of a picture that are read at once: a mosaic takes no more."""
MOST_SHRUNK = 8
"""How often that is read for a pixel of the picture, each way; beyond, a lane has less than two of them."""
STRIP_PX = 4_000_000
"""Pixels read at a time, which bounds memory."""

LEGEND_CORNERS = ("lower right", "upper right", "lower center", "upper center")
BADGE_PX = 14.0

# Names may hold $, which is no formula in them.
TITLE: dict[str, Any] = {"fontsize": 19, "fontweight": "bold", "color": INK, "parse_math": False}
SUBTITLE: dict[str, Any] = {"fontsize": 10.5, "color": FAINT, "parse_math": False}
LABEL: dict[str, Any] = {"fontsize": 9, "color": INK, "parse_math": False}
FOOTNOTE: dict[str, Any] = {"fontsize": 7.5, "color": FAINT, "parse_math": False}


def widened(bounds: Bounds, aspect: float) -> Bounds:
    """Return bounds grown about their centre to a height/width ratio."""
    xmin, ymin, xmax, ymax = bounds
    width, height = xmax - xmin, ymax - ymin
    width, height = max(width, height / aspect), max(height, width * aspect)
    x, y = (xmin + xmax) / 2, (ymin + ymax) / 2
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def backdrop(axes: Any, mosaic: Mosaic, bounds: Bounds) -> None:
    """Show the imagery within bounds at the resolution of the axes, paper where there is none."""
    xmin, ymin, xmax, ymax = bounds
    pixels_wide = axes.get_window_extent().width
    gsd = (xmax - xmin) / pixels_wide
    height = math.ceil((ymax - ymin) / gsd)
    window = Window(mosaic.crs, xmin, ymax, gsd, math.ceil(pixels_wide), height)
    axes.set_facecolor(GROUND)
    shown = overview(mosaic, window)
    if shown is None:
        areas(axes, mosaic.footprints, [FAINT] * len(mosaic.footprints))
    else:
        extent = (xmin, xmin + window.width * gsd, ymax - height * gsd, ymax)
        axes.imshow(shown, extent=extent, interpolation="nearest", zorder=0)
    axes.set(xlim=(xmin, xmax), ylim=(ymin, ymax), xticks=[], yticks=[], aspect="equal")
    for spine in axes.spines.values():
        spine.set(color="#c9c5bc", linewidth=0.8)


def overview(mosaic: Mosaic, window: Window) -> NDArray[np.uint8] | None:
    """Return imagery (H, W, 4) at a pixel of any size, None where a lane would be a hair's breadth.

    A mosaic is read as coarsely as it can be, at FINEST; beyond that in strips, which are shrunk.
    """
    read_as = (Resampler(photo, mosaic.crs).reduction(window.gsd_m) for photo in mosaic.orthophotos)
    times = math.ceil(max(read_as) / FINEST)
    if times > MOST_SHRUNK:
        return None
    shown = np.zeros((window.height, window.width, 4), np.uint8)
    step = max(1, STRIP_PX // (window.width * times**2))
    for top in range(0, window.height, step):
        rows = min(step, window.height - top)
        size = (window.width * times, rows * times)
        upper = window.top - top * window.gsd_m
        chip = mosaic.read(Window(window.crs, window.left, upper, window.gsd_m / times, *size))
        rgba = np.dstack([chip.pixels, np.where(chip.valid, 255, 0).astype(np.uint8)])
        small = cv2.resize(rgba, (window.width, rows), interpolation=cv2.INTER_AREA)
        seen = np.maximum(small[..., 3:], 1) / np.float32(255.0)  # what wasn't seen is black
        small[..., :3] = np.clip(np.rint(small[..., :3] / seen), 0, 255)
        shown[top : top + rows] = small
    return shown


def areas(
    axes: Any, polygons: NDArray[np.object_], colours: Sequence[str], *, hatched: bool = False
) -> None:
    """Fill polygons so that the imagery shines through, with a firm outline."""
    from matplotlib.collections import PathCollection
    from matplotlib.colors import to_rgba
    from matplotlib.path import Path

    pieces, owner = shapely.get_parts(polygons, return_index=True)
    parts, piece = shapely.get_parts(pieces, return_index=True)
    index = owner[piece]
    filled = shapely.get_type_id(parts) == shapely.GeometryType.POLYGON  # cuts may leave lines
    parts, index = parts[filled], index[filled]
    paths = [Path.make_compound_path(*(Path(ring) for ring in _rings(part))) for part in parts]
    chosen = [colours[number] for number in index]
    collection = PathCollection(
        paths,
        facecolors=[to_rgba(colour, 0.25 if hatched else 0.33) for colour in chosen],
        edgecolors=chosen,
        linewidths=0.7 if hatched else 2.0,
        hatch="////" if hatched else None,
        zorder=1 if hatched else 2,
    )
    axes.add_collection(collection)


def lines(axes: Any, geometries: NDArray[np.object_], *, colour: str, width: float) -> None:
    """Draw lines, `width` in points."""
    from matplotlib.collections import LineCollection

    parts = shapely.get_parts(geometries)
    axes.add_collection(
        LineCollection(
            [shapely.get_coordinates(part) for part in parts],
            colors=colour,
            linewidths=width,
            capstyle="round",
            joinstyle="round",
            zorder=3,
        )
    )


def badge(axes: Any, x: float, y: float, text: str, *, colours: tuple[str, str]) -> None:
    """Write a rank in a round badge; `colours` are those of the badge and of the text."""
    box = {"boxstyle": "circle,pad=0.28", "facecolor": colours[0], "edgecolor": "white"}
    axes.text(
        x, y, text, color=colours[1], fontsize=9.5, fontweight="bold", ha="center", va="center",
        bbox={**box, "linewidth": 1.4}, zorder=6,
    )  # fmt: skip


def frame(axes: Any, bounds: Bounds) -> None:
    """Mark where another panel looks."""
    x, y = shapely.box(*bounds).exterior.xy
    axes.plot(x, y, color="white", linewidth=2.6, zorder=4)
    axes.plot(x, y, color=INK, linewidth=1.1, zorder=4)


def scale_bar(axes: Any, bounds: Bounds, scale: float) -> None:
    """Draw a bar of a round ground length; `scale` is CRS metres per ground metre."""
    width = (bounds[2] - bounds[0]) / scale
    power = 10.0 ** math.floor(math.log10(width / 4))
    length = max(step * power for step in (1, 2, 5) if step * power <= width / 4)
    label = f"{length:g} m" if length < 1000 else f"{length / 1000:g} km"
    if length < 1:
        label = f"{length * 100:g} cm"
    share = length / width
    left, bottom = 0.025 if share < 0.2 else 0.04, 0.045
    box = axes.get_window_extent()
    lift = 5.0 / box.height
    for colour, extra in (("white", 2.2), (INK, 0.0)):
        axes.plot(
            [left, left, left + share, left + share],
            [bottom + lift, bottom, bottom, bottom + lift],
            transform=axes.transAxes, color=colour, linewidth=1.8 + extra,
            solid_capstyle="butt", solid_joinstyle="miter", zorder=7,
        )  # fmt: skip
    _haloed(
        axes, left + share / 2, bottom + 1.6 * lift, label, ha="center", va="bottom", fontsize=9
    )


def north_arrow(axes: Any) -> None:
    """Draw an arrow to grid north in the upper left corner."""
    from matplotlib.patches import Polygon

    box = axes.get_window_extent()
    x, top, half, height = 26 / box.width, 1 - 14 / box.height, 8 / box.width, 34 / box.height
    for side, colour in ((-1, INK), (1, "white")):
        points = [(x, top), (x + side * half, top - height), (x, top - 0.76 * height)]
        axes.add_patch(
            Polygon(
                points, transform=axes.transAxes, facecolor=colour, edgecolor=INK, linewidth=0.9,
                joinstyle="miter", zorder=7,
            )
        )  # fmt: skip
    _haloed(axes, x, top - 1.1 * height, "N", ha="center", va="top", fontsize=10)


def legend(
    axes: Any, classes: Sequence[DensityClass], *, clear_of: Sequence[NDArray[np.float64]]
) -> None:
    """Explain the classes, what was not imaged, and the cracks, where that hides least.

    `clear_of` are points (N, 2) on the map: of the first set as few as can be are hidden, then of the next.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    marks: list[Any] = [
        Patch(facecolor=item.colour, edgecolor=item.colour, alpha=0.85, label=item.label)
        for item in classes
    ]
    marks.append(
        Patch(facecolor=PAPER, edgecolor=NOT_IMAGED_COLOUR, hatch="////", label="not imaged")
    )
    marks.append(Line2D([], [], color="white", linewidth=1.6, label="crack"))
    made = axes.legend(
        handles=marks, loc=LEGEND_CORNERS[0], title="Crack density, m/m²", fontsize=8.5,
        title_fontsize=9, frameon=True, facecolor="#dedad1", edgecolor="#c9c5bc", framealpha=0.95,
        borderpad=0.8, handlelength=1.6,
    )  # fmt: skip
    made.set_zorder(8)
    sets = [axes.transData.transform(np.reshape(points, (-1, 2))) for points in clear_of]

    def hidden(corner: str) -> list[int]:
        made.set_loc(corner)
        box = made.get_window_extent(axes.figure.canvas.get_renderer()).padded(BADGE_PX)
        return [int(((box.min < at) & (at < box.max)).all(axis=1).sum()) for at in sets]

    made.set_loc(min(LEGEND_CORNERS, key=hidden))


def caption(axes: Any, text: str) -> None:
    """Name a panel in its upper left corner."""
    box = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.9, "boxstyle": "round,pad=0.35"}
    axes.text(
        0.03, 0.97, text, transform=axes.transAxes, fontsize=10, fontweight="bold", color=INK,
        ha="left", va="top", bbox=box, zorder=8,
    )  # fmt: skip


def bars(
    axes: Any,
    values: Sequence[float],
    labels: Sequence[tuple[str, str]],
    colours: Sequence[str],
    *,
    title: str,
) -> None:
    """Draw ranked horizontal bars, each with its rank, its label above and its value at its end.

    A label is a name, which is cut short where there is no room, and what is written whole behind it.
    """
    axes.set_facecolor(PAPER)
    longest = max(max(values), 1e-9)
    axes.set(xlim=(-0.16 * longest, 1.2 * longest), ylim=(-max(len(values), 4) + 0.6, 0.85))
    room_px = axes.get_window_extent().width * 1.2 / 1.36
    for row, (value, (name, tail), colour) in enumerate(zip(values, labels, colours, strict=True)):
        label = fitted(axes.figure, name, room_px=room_px, tail=tail, **LABEL)
        axes.barh(-row, value, height=0.36, color=colour, edgecolor=INK, linewidth=0.4)
        axes.text(0, -row + 0.28, label, va="bottom", **LABEL)
        axes.text(value + 0.02 * longest, -row, f"{value:.3g}", fontsize=9, color=INK, va="center")
        axes.text(
            -0.075 * longest, -row, str(row + 1), fontsize=9.5, fontweight="bold",
            color=ink_on(colour), ha="center", va="center",
            bbox={"boxstyle": "circle,pad=0.28", "facecolor": colour, "edgecolor": "none"},
        )  # fmt: skip
    axes.set_title(title, loc="left", fontsize=10.5, fontweight="bold", color=INK, pad=2)
    axes.axis("off")


def ink_on(colour: str) -> str:
    """Return the ink that reads on a colour: white on dark, dark on light."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 150 else "white"


def _haloed(axes: Any, x: float, y: float, text: str, **style: Any) -> None:
    from matplotlib.patheffects import withStroke

    axes.text(
        x, y, text, transform=axes.transAxes, color=INK, fontweight="bold", zorder=7,
        path_effects=[withStroke(linewidth=2.6, foreground="white")], **style,
    )  # fmt: skip


def _rings(polygon: shapely.Polygon) -> list[NDArray[np.float64]]:
    return [shapely.get_coordinates(ring) for ring in (polygon.exterior, *polygon.interiors)]
