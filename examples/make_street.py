"""Make the example survey: real photographs of pavement, laid along a real street as orthophotos.

    python examples/make_street.py --photos uav_cc0 --roads apalachicola_original.parquet

The pixels are real, their place is not: `examples/README.md` says what was assumed. Each photograph
of the source set is a 448-pixel window of a larger one, cut every 400 pixels; windows that were neighbours
stay neighbours here, so cracks run on from one to the next. The others are joined over the same 48 pixels,
after their brightness is balanced, as any orthophoto software does. Run twice, it writes the same bytes.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import geopandas as gpd
import numpy as np
import pyogrio
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from rasterio.enums import ColorInterp
from rasterio.warp import Resampling, reproject

from pavemap.geo.crs import ground_scale

GSD_M = 0.0025
"""Assumed true size of a pixel; nothing in the photographs tells it."""

PHOTO_PX, STEP_PX = 448, 400
OVERLAP_PX = PHOTO_PX - STEP_PX

# Three lanes of photographs, west to east: worn, sound, worst, bad, sound. `<n` turns one by n quarters.
LANES = (
    "1217 1218 1219 1158 1159 1537  497 498 499 604 605 606  1625 1586 1597 1598 1610 1617<1"
    "  1573 1574 1575 1637 1638 1639  508 509 1085 418<2",
    "1014<1 1134 DJI1760 1289 1313<2 1553  1230 545 742 619 378 379  1589 1590 1631 1602 1614 1615"
    "  1577 1629 DJI2180 1561 830 806  569 750 1096<2 307",
    "1048 1077 1168 DJI1980 1240 1557  1145 1062<1 522 557 558 1492  1593 1594 1605 1606 DJI2140 1619"
    "  1581 1582 1583 822<2 785 1529<2  281 282 330<3 440<2",
)

STREET = (97442231, 97447190)
"""OpenStreetMap nodes at the two ends of the street that carries the imagery."""

SIDE_STREETS = ((97442231, 10759553572), (97447190, 10759553574))
"""Two more streets of the network, which no tile shows."""

WIDTH_M = 3.1
START_M = 10.6
"""Where along the street the imagery begins."""

UTM = CRS.from_epsg(32616)
WEB_MERCATOR = CRS.from_epsg(3857)

TILE_M, TILE_OVERLAP_M = 4.6, 0.5
ROTATED_TILE, MERCATOR_TILE = 2, 4
"""The tile whose pixels follow the street (a rotated geotransform), and the one in another CRS."""

JPEG_QUALITY = 85


@dataclass(frozen=True)
class Strip:
    """The laid photographs as one raster along the street: pixels (H, W, 3), RGB, and their place."""

    pixels: NDArray[np.uint8]
    transform: Affine


def main() -> None:
    """Write tiles and network into the folder `street` beside this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--photos", type=Path, required=True, help="folder with images/")
    parser.add_argument("--roads", type=Path, required=True, help="GeoParquet of Apalachicola")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "street")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    roads = gpd.read_parquet(options.roads).to_crs(UTM).reset_index()
    street = line_between(roads, STREET)
    pixels = lay(options.photos / "images")
    strip = Strip(pixels, place(street, height=pixels.shape[0]))
    for old in options.out.glob("tile_*.tif"):
        old.unlink()
    for number, (start, stop) in enumerate(tile_ranges(pixels.shape[1]), start=1):
        path = options.out / f"tile_{number:02d}.tif"
        part = Strip(pixels[:, start:stop], strip.transform @ Affine.translation(start, 0))
        if number == ROTATED_TILE:
            write(path, part.pixels, None, part.transform, UTM)
        else:
            write_north_up(path, part, WEB_MERCATOR if number == MERCATOR_TILE else UTM)
    write_network(options.out / "roads.gpkg", roads)


def line_between(roads: gpd.GeoDataFrame, ends: tuple[int, int]) -> shapely.LineString:
    """Return the street between two nodes, in the direction given, in UTM."""
    one_way = roads[(roads.u == ends[0]) & (roads.v == ends[1])]
    line: shapely.LineString = one_way.geometry.iloc[0]
    return line


def lay(folder: Path) -> NDArray[np.uint8]:
    """Return the lanes as one raster (H, W, 3), RGB, each photograph feathered into its neighbours."""
    lanes = [lane.split() for lane in LANES]
    rows, columns = len(lanes), len(lanes[0])
    height, width = rows * STEP_PX + OVERLAP_PX, columns * STEP_PX + OVERLAP_PX
    total = np.zeros((height, width, 3), np.float32)
    weight = np.zeros((height, width, 1), np.float32)
    feather = feathering()
    for row, lane in enumerate(lanes):
        for column, text in enumerate(lane):
            name, _, turns = text.partition("<")
            photo = np.rot90(balanced(folder / f"{photo_name(name)}.jpg"), int(turns or 0))
            top, left = row * STEP_PX, column * STEP_PX
            place_at = np.s_[top : top + PHOTO_PX, left : left + PHOTO_PX]
            total[place_at] += photo * feather
            weight[place_at] += feather
    strip: NDArray[np.uint8] = np.clip(np.rint(total / weight), 0, 255).astype(np.uint8)
    return strip


def photo_name(text: str) -> str:
    """Return the file stem of a photograph: a bare number is one of the `slide` series."""
    return text if text.startswith("DJI") else f"slide{text}"


def feathering() -> NDArray[np.float32]:
    """Return the weight (448, 448, 1) of a photograph: 1, falling to almost 0 over the overlap."""
    distance = np.minimum(np.arange(PHOTO_PX), np.arange(PHOTO_PX)[::-1]) + 1.0
    ramp = np.minimum(distance / (OVERLAP_PX + 1), 1.0)
    return np.outer(ramp, ramp).astype(np.float32)[..., None]


def balanced(path: Path) -> NDArray[np.float32]:
    """Return a photograph (448, 448, 3), RGB, with light falling evenly and a common grey and contrast."""
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None or pixels.shape != (PHOTO_PX, PHOTO_PX, 3):
        raise SystemExit(f"{path} is not a photograph of {PHOTO_PX} x {PHOTO_PX} pixels")
    light = pixels[..., ::-1].astype(np.float32)
    detail = light - cv2.GaussianBlur(light, (0, 0), 90, borderType=cv2.BORDER_REFLECT)
    contrast = float(np.clip(16.0 / detail.std(), 0.7, 1.6))
    return detail * contrast + np.array([120.0, 119.0, 117.0], np.float32)


def place(street: shapely.LineString, *, height: int) -> Affine:
    """Return the strip's geotransform in UTM: columns along the street, its middle row on the line."""
    (x0, y0), (x1, y1) = street.coords[0], street.coords[-1]
    length = math.hypot(x1 - x0, y1 - y0)
    east, north = (x1 - x0) / length, (y1 - y0) / length
    scale = ground_scale(UTM, x0, y0)
    step = GSD_M * scale
    along, left = START_M * scale, height / 2 * step
    return Affine(
        east * step, north * step, x0 + east * along - north * left,
        north * step, -east * step, y0 + north * along + east * left,
    )  # fmt: skip


def tile_ranges(width: int) -> list[tuple[int, int]]:
    """Return the pixel columns of each tile: equal lengths that overlap by at least TILE_OVERLAP_M."""
    length, overlap = round(TILE_M / GSD_M), round(TILE_OVERLAP_M / GSD_M)
    count = math.ceil((width - overlap) / (length - overlap))
    starts = np.linspace(0, width - length, count).round().astype(int)
    return [(int(start), int(start) + length) for start in starts]


def write_north_up(path: Path, part: Strip, crs: CRS) -> None:
    """Warp a part of the strip into a north-up tile; what lies beside it is masked."""
    height, width = part.pixels.shape[:2]
    to_crs = Transformer.from_crs(UTM, crs, always_xy=True)
    corners = [part.transform * c for c in ((0, 0), (width, 0), (width, height), (0, height))]
    x, y = to_crs.transform(*np.array(corners).T)
    step = GSD_M * ground_scale(crs, float(np.mean(x)), float(np.mean(y)))
    transform = Affine(step, 0.0, float(np.min(x)), 0.0, -step, float(np.max(y)))
    size = math.ceil(np.ptp(y) / step), math.ceil(np.ptp(x) / step)

    warped = np.zeros((3, *size), np.uint8)
    shown = np.zeros(size, np.uint8)
    common = {
        "src_transform": part.transform,
        "src_crs": UTM,
        "dst_transform": transform,
        "dst_crs": crs,
    }
    reproject(part.pixels.transpose(2, 0, 1), warped, resampling=Resampling.cubic, **common)
    inside = np.full((height, width), 255, np.uint8)
    reproject(inside, shown, resampling=Resampling.nearest, **common)
    # A pixel of margin: at the border the cubic kernel reaches past the photographs.
    kernel = np.ones((5, 5), np.uint8)
    shown[cv2.erode(shown, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0) == 0] = 0
    write(path, warped.transpose(1, 2, 0), shown, transform, crs)


def write(
    path: Path,
    pixels: NDArray[np.uint8],
    shown: NDArray[np.uint8] | None,
    transform: Affine,
    crs: CRS,
) -> None:
    """Write a JPEG-compressed GeoTIFF (pixels (H, W, 3), RGB), with an internal mask where one is given."""
    height, width = pixels.shape[:2]
    if shown is not None:
        pixels = fill_hidden(pixels, shown)
    profile = {
        "driver": "GTiff", "dtype": "uint8", "count": 3, "height": height, "width": width,
        "crs": crs, "transform": transform, "tiled": True, "blockxsize": 512, "blockysize": 512,
        "compress": "JPEG", "photometric": "YCBCR", "jpeg_quality": JPEG_QUALITY,
    }  # fmt: skip
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", **profile) as target,
    ):
        target.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
        target.write(pixels.transpose(2, 0, 1))
        if shown is not None:
            target.write_mask(shown)


def fill_hidden(pixels: NDArray[np.uint8], shown: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Put an even grey under the mask: JPEG would else smear a hard edge into what is shown."""
    filled = pixels.copy()
    filled[shown == 0] = (120, 119, 117)
    return filled


def write_network(path: Path, roads: gpd.GeoDataFrame) -> None:
    """Write the street and two side streets (EPSG:4326): `id`, `name`, `width_m` and their line."""
    ends = (STREET, *SIDE_STREETS)
    network = gpd.GeoDataFrame(
        {
            "id": [f"{u}-{v}" for u, v in ends],
            "name": ["Example Lane", "West Side Lane", "East Side Lane"],
            "width_m": [WIDTH_M] * len(ends),
            "highway": ["residential"] * len(ends),
        },
        geometry=[line_between(roads, pair) for pair in ends],
        crs=UTM,
    ).to_crs(4326)
    path.unlink(missing_ok=True)
    # Else the file holds the minute it was made, and no two are alike.
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2025-01-01T00:00:00.000Z"})
    network.to_file(path, layer="roads", driver="GPKG")


if __name__ == "__main__":
    main()
