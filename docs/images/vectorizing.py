"""Draws docs/images/vectorizing.png, the steps of the vectoriser: `python docs/images/vectorizing.py`."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import shapely
from affine import Affine
from matplotlib.axes import Axes
from numpy.typing import NDArray
from rasterio.features import rasterize
from scipy import ndimage

from pavemap.geo.vectorizing.crack_graph import CrackGraph
from pavemap.geo.vectorizing.pruning import clean
from pavemap.geo.vectorizing.skeleton import thin
from pavemap.geo.vectorizing.tracing import trace
from pavemap.geo.vectorizing.vectorize import VectorizeParams, trace_lines

SHAPE = (64, 100)
TRUE = (
    (((6, 50), (30, 40), (52, 38), (74, 22), (104, 10)), 7.0),
    (((52, 38), (66, 46), (80, 58)), 5.0),
    (((20, 8), (31, 26), (33, 40)), 3.0),
)
RED, BLUE, INK = "#d62828", "#1d4ed8", "#111827"


def probability() -> NDArray[np.uint8]:
    """Paint a small network with bumps and noise, as a detector might see it."""
    finer = 4
    bodies = [(shapely.buffer(shapely.LineString(path), width / 2), 255) for path, width in TRUE]
    bumps = [(shapely.Point(x, y).buffer(r), 255) for x, y, r in ((41, 33.5, 2.2), (62, 36, 2.4))]
    drawn = rasterize(
        bodies + bumps,
        (SHAPE[0] * finer, SHAPE[1] * finer),
        transform=Affine.scale(1 / finer),
        dtype="uint8",
    )
    cells = drawn.reshape(SHAPE[0], finer, SHAPE[1], finer).mean(axis=(1, 3))
    noise = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=SHAPE), 0.8)
    seen = ndimage.gaussian_filter(cells, 0.7) + 45 * noise / noise.std() * (cells > 8)
    return np.asarray(np.clip(seen, 0, 255), np.uint8)


def draw_graph(axes: Axes, graph: CrackGraph) -> None:
    """Draw chains as they are stored, nodes as rings, dead ends as dots."""
    rows, cols = np.divmod(graph.chain, graph.stride)
    x, y = cols - 64 + 0.5, rows - 1 + 0.5
    for low, high in zip(graph.offsets[:-1], graph.offsets[1:], strict=True):
        axes.plot(x[low:high], y[low:high], color=BLUE, lw=1.4)
    degrees = graph.degrees
    for edge, (low, high) in enumerate(zip(graph.offsets[:-1], graph.offsets[1:], strict=True)):
        for node, k in zip(graph.nodes[edge], (low, high - 1), strict=True):
            junction = degrees[node] > 1
            axes.plot(
                x[k],
                y[k],
                "o",
                ms=6 if junction else 3.5,
                mfc="none" if junction else BLUE,
                mec=BLUE,
            )


def main() -> None:
    """Draw the four steps beside each other."""
    seen = probability()
    skeleton = thin(seen >= 128, max_hole_px=9)
    graph = trace(skeleton)
    lines = trace_lines(seen, params=VectorizeParams())
    figure, panels = plt.subplots(2, 2, figsize=(11, 7.4), layout="constrained")
    titles = (
        "1  probability, and what the threshold takes",
        "2  skeleton: every bump and corner has a spur, ends are short",
        "3  graph: spurs out, one node for each junction",
        "4  lines: centred on profiles, junctions and ends put right",
    )
    for axes, title in zip(panels.flat, titles, strict=True):
        axes.imshow(seen, cmap="gray_r", vmin=0, vmax=420, extent=(0, SHAPE[1], SHAPE[0], 0))
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_xticks([])
        axes.set_yticks([])
    panels[0, 0].contour(
        np.arange(SHAPE[1]) + 0.5,
        np.arange(SHAPE[0]) + 0.5,
        seen,
        [127.5],
        colors=INK,
        linewidths=0.8,
    )
    rows, cols = skeleton.lines.places(skeleton.pixels)
    panels[0, 1].plot(cols + 0.5, rows + 0.5, "s", color=BLUE, ms=3.2)
    draw_graph(panels[1, 0], clean(graph))
    last = panels[1, 1]
    for path, _ in TRUE:
        last.plot(*np.array(path).T, color="white", lw=3.2)
        last.plot(*np.array(path).T, color=INK, lw=0.8, ls=(0, (4, 3)), label="as painted")
    for k in range(len(lines)):
        points = lines.points[lines.offsets[k] : lines.offsets[k + 1]]
        last.plot(points[:, 0], points[:, 1], color=RED, lw=1.8, label="as measured")
        way = np.gradient(points[:, :2], axis=0)
        way /= np.hypot(*way.T)[:, None]
        across = np.column_stack([-way[:, 1], way[:, 0]]) * points[:, 2:] / 2
        for centre, half in zip(points[3::4, :2], across[3::4], strict=True):
            last.plot(*np.array([centre - half, centre + half]).T, color=RED, lw=0.7)
    handles, labels = last.get_legend_handles_labels()
    shown = dict(zip(labels, handles, strict=True))
    last.legend(shown.values(), shown.keys(), loc="lower left", fontsize=8, frameon=False)
    for axes in panels.flat:
        axes.set_xlim(0, SHAPE[1])
        axes.set_ylim(SHAPE[0], 0)
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=110)


if __name__ == "__main__":
    main()
