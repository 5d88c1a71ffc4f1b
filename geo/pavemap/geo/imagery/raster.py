"""Checks an untrusted GeoTIFF once, before anything is built on it, and describes what it holds."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Geod
from pyproj.exceptions import CRSError, ProjError
from rasterio.enums import ColorInterp, MaskFlags

from pavemap.geo.crs import WGS84
from pavemap.geo.errors import NotGeoreferenced, UnsupportedRaster
from pavemap.geo.imagery.empty_border import empty_border, empty_values
from pavemap.geo.imagery.geotiff import (
    Dataset,
    alpha_band,
    check_complete,
    colour_bands,
    is_remote,
    no_data_value,
    open_geotiff,
    refuse_oversize,
)
from pavemap.geo.imagery.orthophoto import (
    BandUse,
    MaskKind,
    Orthophoto,
    Stretch,
    mapped,
    outline,
    transformer,
)
from pavemap.geo.imagery.picture_alpha import has_picture_alpha
from pavemap.geo.imagery.pixels import read_raw, spread_windows

SAMPLE_WINDOWS, SAMPLE_PX = 8, 128
"""The 16 bit stretch looks at 8 x 8 windows of 128 x 128 pixels, evenly spread, however it is stored."""
SEARCH_WINDOWS, SEARCH_PX = 64, 16
"""Where these show next to nothing, as many pixels are looked at in smaller windows, closer together."""
FEW = 0.01
"""Less imagery than this part of a sample is next to nothing: the rim of a corridor that it grazes."""

MIDDLE_GREY = 118.0
"""What half of the pixels of 16 bits are darker than becomes this of 255: a road as photographs show it."""
BLACK_BELOW = 3.0
"""How far black lies below the darkest half percent, in distances of that from the middle."""

_GRID_FILE = re.compile(r"\+?(nad|geoid)grids=(?!@null)", re.IGNORECASE)


def inspect(path: str | Path, *, name: str | None = None) -> Orthophoto:
    """Check a GeoTIFF and describe it, without reading more than its header and a sample of it.

    `name` is what messages and the description call it (default: the file's name). Raises a
    BadInput: NotAGeoTiff, DamagedRaster, UnsupportedRaster or NotGeoreferenced; Unavailable when
    remote storage doesn't answer.
    """
    label = name or Path(path).name
    with open_geotiff(path, name=label) as dataset:
        band_use = _band_use(dataset, label)
        photo = located(
            dataset, path=path, name=label, band_use=band_use, mask_kind=_mask_kind(dataset)
        )
        if photo.dtype == "uint16":
            photo = replace(photo, stretch=_stretch(dataset, photo.mask_kind))
        return replace(
            photo,
            empty_border=empty_border(dataset, photo.mask_kind),
            picture_alpha=has_picture_alpha(dataset),
        )


def located(
    dataset: Dataset, *, path: str | Path, name: str, band_use: BandUse, mask_kind: MaskKind
) -> Orthophoto:
    """Check that an open raster is whole and says where on the Earth it lies, and describe it.

    What its bands hold is for the caller to have checked. Raises what `inspect` does.
    """
    remote = is_remote(path)
    file_bytes = None if remote else Path(path).stat().st_size
    refuse_oversize(dataset, file_bytes=file_bytes, name=name)
    crs, transform = _crs(dataset, name), _transform(dataset, name)
    footprint = outline(transform, dataset.width, dataset.height, source=crs, target=WGS84)
    _refuse_off_earth(footprint, crs, name)
    check_complete(dataset, file_bytes=file_bytes, name=name)
    return Orthophoto(
        name=name,
        path=str(path) if remote else str(Path(path).resolve()),
        crs=crs,
        transform=transform,
        width=dataset.width,
        height=dataset.height,
        count=dataset.count,
        dtype=dataset.dtypes[0],
        gsd_m=_ground_gsd(transform, dataset.width, dataset.height, crs),
        footprint=footprint,
        band_use=band_use,
        mask_kind=mask_kind,
    )


def _band_use(dataset: Dataset, name: str) -> BandUse:
    """Accept gray, gray + alpha, RGB, RGB + alpha and RGB + a band left out, in 8 or 16 bit."""
    if any(dtype not in ("uint8", "uint16") for dtype in dataset.dtypes):
        raise UnsupportedRaster(
            f"{name} has {dataset.dtypes[0]} pixels; 8 or 16 bit without sign are read: "
            "gdal_translate -ot Byte -scale"
        )
    bits = min(int(dataset.tags(b, ns="IMAGE_STRUCTURE").get("NBITS", 8)) for b in dataset.indexes)
    meaning = dataset.colorinterp
    if ColorInterp.palette in meaning:
        raise UnsupportedRaster(
            f"{name} stores colours by number (a palette): gdal_translate -expand rgb"
        )
    if bits < 8 or "MINISWHITE" in dataset.tags(ns="IMAGE_STRUCTURE"):
        raise UnsupportedRaster(
            f"{name} is a scan of few tones, or inverted; a photograph is needed"
        )
    if ColorInterp.cyan in meaning:
        raise UnsupportedRaster(f"{name} is in printing colours (CMYK); export it as RGB")
    alphas = meaning.count(ColorInterp.alpha)
    colours = dataset.count - alphas
    if alphas > 1 or not (colours in (1, 3) or (colours == 4 and not alphas)):
        raise UnsupportedRaster(
            f"{name} has {dataset.count} bands ({', '.join(use.name for use in meaning)}); gray or "
            f"RGB, with alpha or without, is read: {_advice_on_bands(dataset.count)}"
        )
    return "gray" if colours == 1 else "rgb"


def _advice_on_bands(count: int) -> str:
    if count == 2:
        return (
            "if the second band marks no-data, label it (gdal_edit.py -colorinterp_2 alpha), else leave "
            "it out (gdal_translate -b 1)"
        )
    return "gdal_translate -b 1 -b 2 -b 3"


def _crs(dataset: Dataset, name: str) -> CRS:
    """Return the horizontal CRS, one that leads to longitude and latitude without other files."""
    if dataset.gcps[0] and dataset.transform.is_identity:
        raise NotGeoreferenced(
            f"{name} has ground control points but is not rectified; run gdalwarp on it first"
        )
    if dataset.transform.is_identity and dataset.tags(ns="RPC"):
        raise NotGeoreferenced(
            f"{name} has RPCs (the camera's polynomials) but is not rectified; run gdalwarp -rpc on it "
            "first, with a terrain model (-to RPC_DEM=<file>): without one, ground that is not flat is "
            "metres off"
        )
    if dataset.crs is None and dataset.transform.is_identity:
        raise NotGeoreferenced(
            f"{name} has no CRS, nor a pixel size and position; export it as a GeoTIFF with them, or put "
            "its world file and its CRS into it: gdal_translate -a_srs EPSG:<code> in.tif out.tif"
        )
    if dataset.crs is None:
        raise NotGeoreferenced(
            f"{name} has no CRS; assign the one it was made in: gdal_edit.py -a_srs EPSG:<code>"
        )
    wkt = dataset.crs.to_wkt()
    if _GRID_FILE.search(wkt):
        raise NotGeoreferenced(
            f"the CRS of {name} names a datum grid file; give its EPSG code instead"
        )
    try:
        crs = CRS.from_wkt(wkt)
        crs = crs.sub_crs_list[0] if crs.is_compound else crs.to_2d()
        if not (crs.is_projected or crs.is_geographic):
            raise CRSError(f"it is of the kind '{crs.type_name}'")
        transformer(crs, WGS84)
    except (CRSError, ProjError) as exc:
        raise NotGeoreferenced(
            f"the CRS of {name} does not lead to a place on the Earth ({exc}); assign a projected or "
            "geographic one: gdal_edit.py -a_srs EPSG:<code>"
        ) from exc
    return crs


def _transform(dataset: Dataset, name: str) -> Affine:
    transform: Affine = dataset.transform
    flat = not all(map(math.isfinite, transform[:6])) or transform.determinant == 0.0
    if transform.is_identity or flat:
        raise NotGeoreferenced(
            f"{name} has no usable pixel size and position; export it as a GeoTIFF with coordinates, or "
            "put its world file into it: gdal_translate in.tif out.tif"
        )
    return transform


def _refuse_off_earth(footprint: shapely.Polygon, crs: CRS, name: str) -> None:
    x, y = shapely.get_coordinates(footprint).T
    on_earth = np.isfinite(x).all() and np.isfinite(y).all() and (np.abs(y) <= 90.0).all()
    if not on_earth or np.ptp(x) > 180.0 or np.abs(x).max() > 540.0 or not footprint.is_valid:
        raise NotGeoreferenced(
            f"{name} lies outside the area of its CRS, {crs.name}; check CRS and coordinates, they "
            "don't belong together"
        )


def _ground_gsd(transform: Affine, width: int, height: int, crs: CRS) -> float:
    """Return the mean of the two pixel sides in metres, along geodesics through the centre."""
    column, row = width / 2.0, height / 2.0
    starts, ends = mapped(
        transform,
        np.array([[0.0, column], [width, column]]),
        np.array([[row, 0.0], [row, height]]),
    )
    lon, lat = transformer(crs, WGS84).transform(starts, ends)
    sides = Geod(ellps="WGS84").inv(lon[0], lat[0], lon[1], lat[1])[2]
    return float(np.mean(np.asarray(sides) / (width, height)))


def _mask_kind(dataset: Dataset) -> MaskKind:
    """Tell what marks pixels without imagery: a labelled alpha band, else a mask, else a value alone."""
    if alpha_band(dataset) is not None:
        return "alpha"
    flags = dataset.mask_flag_enums[0]
    if MaskFlags.per_dataset in flags:
        return "mask"
    return "none" if no_data_value(dataset) is None else "nodata"


def _stretch(dataset: Dataset, mask_kind: MaskKind) -> Stretch | None:
    """Fix which 16 bit values become 0 and 255, from a sparse sample of the imagery, if that can tell.

    One pair for all bands, so that grey asphalt stays grey. The middle becomes MIDDLE_GREY, whatever part
    of the picture is paint, and black lies so that contrast is that of a photograph: a network takes
    the grain of a road for cracks where it is much stretched.
    """
    values, share = _sample(dataset, mask_kind, windows=SAMPLE_WINDOWS, side_px=SAMPLE_PX)
    if share < FEW:
        more, _ = _sample(dataset, mask_kind, windows=SEARCH_WINDOWS, side_px=SEARCH_PX)
        values = max(values, more, key=len)
    if not values.size:
        return None
    darkest, middle = np.percentile(values, (0.5, 50.0))
    if middle == darkest:
        return None
    black = float(max(0, math.floor(darkest - BLACK_BELOW * (middle - darkest))))
    white = black + (middle - black) * 255.0 / MIDDLE_GREY
    return ((black, float(max(math.ceil(white), black + 1.0))),) * len(colour_bands(dataset))


def _sample(
    dataset: Dataset, mask_kind: MaskKind, *, windows: int, side_px: int
) -> tuple[NDArray[np.uint16], float]:
    """Return the values of all picture bands in windows evenly spread, and what part of them is imagery.

    What is empty in all bands is no imagery, marked or not: it would pass for the tone of the road.
    """
    bands, empty = len(colour_bands(dataset)), empty_values(dataset)
    found, read = [np.empty(0, np.uint16)], 0
    for window in spread_windows(dataset, windows=windows, side_px=side_px):
        raw, alpha = read_raw(dataset, mask_kind, window)
        picture = raw[alpha > 0][:, :bands]
        for value in empty:
            picture = picture[(picture != value).any(axis=1)]
        found.append(picture.ravel())
        read += alpha.size * bands
    values = np.concatenate(found)
    return values, values.size / read
