"""Masks to lines, against skimage.skeletonize + skan: `python benchmarks/vectorize.py [--data FOLDER]`.

Both see the same masks in the same run. Ours ends with simplified LineStrings that have a width at each
vertex; skan's part ends with its table of branches, without lines or widths. Of each mask's times the
best of some repeats counts. Then shapes of known length, to see how true the lengths are.
"""

from __future__ import annotations

import argparse
import contextlib
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import shapely
import skan
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize
from scipy import ndimage
from shapely import affinity
from skimage.morphology import skeletonize

from pavemap.geo.arrays import Geometries
from pavemap.geo.vectorizing.vectorize import VectorizeParams, vectorize

Mask = NDArray[np.uint8]

SETS = ("cfd/masks", "nha12d_vertical/asphalt/masks", "nha12d_vertical/concrete/masks")
CELL_PX = 2176
"""A cell of 2048 pixels with its halo."""

WIDTHS = (1, 2, 3, 5, 10, 20)
TURNS = (0.0, 7.0, 22.5, 45.0, 63.0)


def ours(mask: Mask) -> Geometries:
    """Return lines with widths."""
    return vectorize(
        mask, transform=Affine.identity(), params=VectorizeParams(), metres_per_px=0.001
    )


def theirs(mask: Mask) -> float:
    """Return the summed length of skan's branches."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what skan says of its own next versions
        skeleton = skan.Skeleton(skeletonize(mask > 127))  # type: ignore[no-untyped-call]
        return float(skan.summarize(skeleton, separator="_")["branch_distance"].sum())


def best(run: Callable[[], object], repeats: int) -> float:
    """Return the shortest of some runs, in seconds."""
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        run()
        times.append(time.perf_counter() - begun)
    return min(times)


def read_masks(folder: Path) -> list[Mask]:
    """Read a folder of one-channel masks."""
    paths = sorted(folder.glob("*.png"))
    return [np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8) for path in paths]


def drawn_cell(cracks: int, seed: int) -> Mask:
    """Draw wandering cracks of 1 to 8 pixels on a cell's window."""
    random = np.random.default_rng(seed)
    canvas = np.zeros((CELL_PX, CELL_PX), np.uint8)
    for _ in range(cracks):
        steps = int(random.integers(40, 300))
        heading = np.cumsum(random.normal(0.0, 0.3, steps)) + random.uniform(0, 2 * np.pi)
        path = random.uniform(0, CELL_PX, 2) + 5 * np.cumsum(
            np.column_stack([np.cos(heading), np.sin(heading)]), axis=0
        )
        cv2.polylines(
            canvas, [np.round(path * 16).astype(np.int32)], False, (255,),
            int(random.integers(1, 9)), cv2.LINE_8, 4,
        )  # fmt: skip
    return canvas


def mosaicked(masks: list[Mask]) -> Mask:
    """Fill a cell's window with masks side by side: as dense as cracks ever are."""
    height, width = masks[0].shape
    rows, cols = CELL_PX // height, CELL_PX // width
    window = np.zeros((CELL_PX, CELL_PX), np.uint8)
    for k in range(rows * cols):
        row, col = divmod(k, cols)
        window[row * height : (row + 1) * height, col * width : (col + 1) * width] = masks[
            k % len(masks)
        ]
    return window


def mask_sets(data: Path) -> Iterator[tuple[str, list[Mask]]]:
    """Yield the masks at hand by name."""
    for name in SETS:
        masks = read_masks(data / name)
        if masks:
            yield name.removesuffix("/masks"), masks
            if name.startswith("cfd"):
                yield "cfd, 24 masks on one cell", [mosaicked(masks)]
    for cracks in (5, 20, 80):
        yield f"drawn cells, {cracks} cracks", [drawn_cell(cracks, seed) for seed in range(3)]


def speed(data: Path, repeats: int) -> None:
    """Print the table of times."""
    print("| masks | number | pixels | skeletonize + skan, ms | pavemap, ms | ratio | lengths |")
    print("|---|---|---|---|---|---|---|")
    totals = np.zeros(2)
    for name, masks in mask_sets(data):
        slow = sum(best(lambda m=mask: theirs(m), repeats) for mask in masks)  # type: ignore[misc]
        fast = sum(best(lambda m=mask: ours(m), 3 * repeats) for mask in masks)  # type: ignore[misc]
        totals += slow, fast
        length = sum(shapely.length(ours(mask)).sum() for mask in masks)
        height, width = masks[0].shape
        print(
            f"| {name} | {len(masks)} | {width} x {height} | {slow / len(masks) * 1e3:.2f} "
            f"| {fast / len(masks) * 1e3:.2f} | **{slow / fast:.1f}** "
            f"| {length / sum(map(theirs, masks)):.3f} |",
            flush=True,
        )
    theirs_s, ours_s = totals.tolist()
    print(f"| all | | | {theirs_s:.2f} s | {ours_s:.2f} s | **{theirs_s / ours_s:.1f}** | |")


def shapes() -> dict[str, Callable[[float], shapely.Geometry]]:
    """Return shapes by name, each for a width."""

    def round_about(radius: NDArray[np.float64], turns: float) -> shapely.LineString:
        t = np.linspace(0, turns * 2 * np.pi, len(radius))
        return shapely.LineString(np.column_stack([radius * np.cos(t), radius * np.sin(t)]))

    def comb(width: float) -> shapely.MultiLineString:
        gap, tooth = 3 * width + 30, 6 * width + 90
        teeth = [[(k * gap, 0.0), (k * gap, tooth)] for k in range(1, 8)]
        return shapely.MultiLineString([[(0.0, 0.0), (8 * gap, 0.0)], *teeth])

    def crossing(_: float) -> shapely.MultiLineString:
        arm = (250 * np.cos(np.pi / 5), 250 * np.sin(np.pi / 5))
        return shapely.MultiLineString([[(-250, 0), (250, 0)], [(-arm[0], -arm[1]), arm]])

    return {
        "straight, 600 px": lambda _: shapely.LineString([(0, 0), (600, 0)]),
        "circle, radius 60 px": lambda _: round_about(np.full(2000, 60.0), 1),
        "spiral, 3 turns": lambda w: round_about(40 + (3 * w + 20) * np.linspace(0, 3, 4000), 3),
        "comb, 7 teeth": comb,
        "crossing at 36 degrees": crossing,
    }


def painted(shape: shapely.Geometry, width: float, turn: float, margin: float = 20.0) -> Mask:
    """Paint a shape with a round brush, turned by degrees; a pixel is set when its centre is hit."""
    body = affinity.rotate(shapely.buffer(shape, width / 2, quad_segs=32), turn, origin=(0, 0))
    left, top, right, bottom = shapely.bounds(body)
    size = int(max(right - left, bottom - top) + 2 * margin)
    moved = affinity.translate(body, margin - left + 0.3, margin - top + 0.7)
    return np.asarray(rasterize([(moved, 255)], (size, size), dtype="uint8"), np.uint8)


def mean_width(lines: Geometries) -> float:
    """Return the mean z along lines, by length."""
    points, index = shapely.get_coordinates(lines, include_z=True, return_index=True)
    steps = np.hypot(*np.diff(points[:, :2], axis=0).T) * (np.diff(index) == 0)
    return float((steps * (points[1:, 2] + points[:-1, 2]) / 2).sum() / steps.sum())


def accuracy() -> None:
    """Print the table of errors over widths and angles: the worst, and of widths the mean too."""
    print(f"\nErrors over widths of {WIDTHS} px and turns of {TURNS} degrees:\n")
    print("| shape | length, worst | width, mean | width, worst | length by skan, worst |")
    print("|---|---|---|---|---|")
    for name, make in shapes().items():
        length, width_error, their_length = [], [], []
        for width in WIDTHS:
            shape = make(width)
            for turn in TURNS:
                mask = painted(shape, width, turn)
                lines = ours(mask)
                length.append(abs(shapely.length(lines).sum() / shapely.length(shape) - 1))
                width_error.append(abs(mean_width(lines) - width))
                with contextlib.suppress(ValueError):  # skan 0.13 can't take a lone loop
                    their_length.append(abs(theirs(mask) / shapely.length(shape) - 1))
        worst = f"{max(their_length) * 100:.1f} %" if their_length else "fails"
        print(
            f"| {name} | {max(length) * 100:.2f} % | {np.mean(width_error):.2f} px "
            f"| {max(width_error):.2f} px | {worst} |",
            flush=True,
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    warm = ndimage.binary_dilation(np.eye(64), iterations=2).astype(np.uint8) * 255
    ours(warm), theirs(warm)
    speed(options.data, options.repeats)
    accuracy()


if __name__ == "__main__":
    main()
