"""Opens GeoTIFFs that strangers sent: one driver, no second file, bounded blocks, errors with advice.

Whatever reads user imagery goes through `open_geotiff`. GDAL is generous by default: it tries every
driver (a VRT may name any file or URL of the host), reads what lies beside a file (.aux.xml, .ovr, .msk,
.tfw), and follows an OVERVIEW_FILE named in a TIFF's own metadata. Each of these doors is shut here, and
`refuse_oversize` keeps what a header promises within what a server can decode.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio import _err
from rasterio._err import CPLE_BaseError, stack_errors
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from pavemap.geo.errors import BadInput, DamagedRaster, NotAGeoTiff, Unavailable, UnsupportedRaster

Dataset = Any
"""An open rasterio DatasetReader; rasterio ships no types."""

CACHE_BYTES = 256 * 2**20
"""GDAL's block cache, for the whole process: two rows of 512 px blocks of a 60,000 px wide RGB tile."""

OPTIONS: Mapping[str, Any] = {
    "GDAL_CACHEMAX": CACHE_BYTES,
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # no side file is looked for
    "GDAL_PAM_ENABLED": "NO",  # nor .aux.xml read or written
    "GDAL_GEOREF_SOURCES": "INTERNAL",  # nor a world file
    "GTIFF_IMPLICIT_JPEG_OVR": "NO",
    "GDAL_HTTP_MAX_RETRY": 3,
    "GDAL_HTTP_RETRY_DELAY": 0.5,
    "CPL_VSIL_CURL_NON_CACHED": "/vsis3/",  # a closed file's failed or cut off answers go with it
}

MAX_PIXELS = 20_000_000_000
"""Largest raster taken, about 141,000 x 141,000: above it, one file is no longer a tile of a survey."""

MAX_BLOCK_BYTES = 128 * 2**20
"""Largest block (tile or strip) taken; a block is decoded whole, whatever small window is asked for."""

FREE_BYTES = 4 * 2**30
MAX_EXPANSION = 10_000
"""A header may promise FREE_BYTES of pixels on its word, beyond that so many times the file's size."""

RETILE = "gdal_translate -of COG -co COMPRESS=ZSTD in.tif out.tif"

MAX_BLOCKS_CHECKED = 50_000
"""Where so many blocks lie in a file is looked up in a tenth of a second."""

FROM_WORLD_FILE = " (with a world file: gdal_translate -a_srs EPSG:<its CRS> in.jpg out.tif)"

CLASSIC_TIFF, BIG_TIFF = (b"II*\0", b"MM\0*"), (b"II+\0", b"MM\0+")
"""The first bytes of a TIFF, of either order of bytes."""

_OTHER_MAGIC = (
    (b"<VRTDataset", "a GDAL virtual raster; write the pixels out: gdal_translate -of COG"),
    (b"\x89PNG", "a PNG image; a GeoTIFF with coordinates is needed" + FROM_WORLD_FILE),
    (b"\xff\xd8\xff", "a JPEG image; a GeoTIFF with coordinates is needed" + FROM_WORLD_FILE),
    (b"PK\x03\x04", "a zip archive; unpack it and send the GeoTIFF in it"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 image; convert it: gdal_translate -of COG"),
    (b"\x89HDF", "an HDF5 file; convert it: gdal_translate -of COG"),
)
_REMOTE_ERRORS = tuple(
    error for name, error in vars(_err).items() if name.startswith(("CPLE_AWS", "CPLE_Http"))
)
_NETWORK = re.compile(
    r"curl|HTTP (error|response)|timed? ?out|resolve host|connect|got \d+ bytes", re.IGNORECASE
)
"""The last of a read that was cut short: files are whole when they are stored."""


def environment(options: Mapping[str, str] | None = None) -> rasterio.Env:
    """Return the GDAL settings under which user files are opened and read, with additions for S3."""
    return rasterio.Env(**{**OPTIONS, **(options or {})})


@contextmanager
def open_geotiff(path: str | Path, *, name: str | None = None) -> Iterator[Dataset]:
    """Open a local path or a /vsi path for reading, within `environment()`; see `opened`."""
    with environment(), opened(path, name=name) as dataset, translated(name or path, path):
        yield dataset


def is_remote(path: str | Path) -> bool:
    """Tell whether GDAL reaches a path through one of its virtual file systems, such as /vsis3."""
    return str(path).startswith("/vsi")


def opened(path: str | Path, *, name: str | None = None) -> Dataset:
    """Open a GeoTIFF and return the dataset; the caller has entered `environment()` and closes it.

    Raises NotAGeoTiff, UnsupportedRaster for a file that points to other files or holds several
    images, Unavailable when remote storage doesn't answer.
    """
    label = name or Path(path).name
    remote = is_remote(path)
    if not remote:
        _check_magic(Path(path), label)
    with translated(label, path, broken=NotAGeoTiff), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        dataset = rasterio.open(
            str(path) if remote else Path(path),
            driver="GTiff",
            sharing=False,
            GEOREF_SOURCES="INTERNAL",
        )
    if any(domain.upper() == "OVERVIEWS" for domain in dataset.tag_namespaces()):
        dataset.close()
        raise UnsupportedRaster(
            f"{label} names overviews in another file, which pavemap doesn't follow; "
            f"write it anew: {RETILE}"
        )
    if dataset.subdatasets:
        count = len(dataset.subdatasets)
        dataset.close()
        raise UnsupportedRaster(f"{label} holds {count} images; send each as a file of its own")
    return dataset


@contextmanager
def translated(
    label: object, path: str | Path, *, broken: type[BadInput] = DamagedRaster
) -> Iterator[None]:
    """Turn GDAL's errors into Unavailable (the storage's fault) or `broken` (the file's fault).

    They call the file `label`: where a server keeps it is nobody else's business.
    """
    _forget_errors()
    try:
        yield
    except (RasterioError, CPLE_BaseError) as exc:
        cause = _innermost(exc)
        reason = str(cause).replace(str(path), str(label))
        if is_remote(path) and (isinstance(cause, _REMOTE_ERRORS) or _NETWORK.search(reason)):
            raise Unavailable(
                f"{label} can't be reached ({reason}); check the object storage"
            ) from exc
        if broken is NotAGeoTiff:
            raise NotAGeoTiff(f"{label} can't be read as a GeoTIFF ({reason}); {_ADVICE}") from exc
        raise broken(f"{label} is damaged ({reason}); send it again, or export it anew") from exc


_ADVICE = "send a GeoTIFF or COG, whole"


def _forget_errors() -> None:
    """Drop the last error of this thread: rasterio leaves it behind, and raises it for the next file."""
    with stack_errors():
        pass


def _innermost(exc: BaseException) -> BaseException:
    """Return GDAL's own error: rasterio chains it behind 'Read failed. See previous exception'."""
    cause = exc.__cause__ or exc.__context__
    return _innermost(cause) if isinstance(cause, CPLE_BaseError) else exc


def _check_magic(path: Path, label: str) -> None:
    if not path.is_file():
        raise BadInput(f"there is no file {path}")
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as exc:
        raise BadInput(f"{path} can't be opened ({exc.strerror}); check its permissions") from exc
    if head.startswith((*CLASSIC_TIFF, *BIG_TIFF)):
        return
    if not head:
        raise NotAGeoTiff(f"{label} is empty; send it again")
    for magic, what in _OTHER_MAGIC:
        if head.lstrip().startswith(magic) or head.startswith(magic):
            raise NotAGeoTiff(f"{label} is {what}")
    raise NotAGeoTiff(f"{label} is not a TIFF file; {_ADVICE}")


def refuse_oversize(dataset: Dataset, *, file_bytes: int | None, name: str) -> None:
    """Refuse headers that promise more than can be decoded safely. Raises UnsupportedRaster.

    `file_bytes` is the size of the file where it is known: a few kilobytes that claim gigabytes of
    pixels are a bomb, or an empty sheet that no survey needs.
    """
    width, height = dataset.width, dataset.height
    if width * height > MAX_PIXELS:
        raise UnsupportedRaster(
            f"{name} has {width:,} x {height:,} pixels; cut it into tiles of at most "
            f"{MAX_PIXELS:,} pixels (gdal_retile.py)"
        )
    together = 1 if _band_by_band(dataset) else dataset.count
    rows, columns = dataset.block_shapes[0]
    if rows == 1 < height and dataset.get_tag_item("BLOCK_OFFSET_0_1", "TIFF", bidx=1) is None:
        rows = (
            height  # GDAL shows one compressed strip as rows, but must decode all that is above one
        )
    depth = 2 if dataset.dtypes[0].endswith("16") else 1
    if rows * columns * together * depth > MAX_BLOCK_BYTES:
        raise UnsupportedRaster(
            f"{name} is stored in blocks of {columns:,} x {rows:,} pixels, too large to read windows "
            f"from; tile it: {RETILE}"
        )
    promised = width * height * dataset.count * depth
    if file_bytes and promised > FREE_BYTES and promised > MAX_EXPANSION * file_bytes:
        raise UnsupportedRaster(
            f"{name} claims {width:,} x {height:,} pixels in {file_bytes:,} bytes, so hardly any hold "
            "an image; cut it to the imagery (gdal_translate -srcwin)"
        )


def check_complete(dataset: Dataset, *, file_bytes: int | None, name: str) -> None:
    """Find a file cut off on its way: every block must lie within it, and the last one must decode.

    Looks at MAX_BLOCKS_CHECKED blocks at most, the last ones among them. Raises DamagedRaster.
    """
    rows, columns = dataset.block_shapes[0]
    across, down = -(-dataset.width // columns), -(-dataset.height // rows)
    half = MAX_BLOCKS_CHECKED // 2
    tail = range(max(across * down - half, 0), across * down)
    spread = range(0, tail.start, max(tail.start // half, 1))
    bands = dataset.indexes if _band_by_band(dataset) else (1,)
    end, last = 0, (0, 0)
    for index in (*spread, *tail):
        block = (index % across, index // across)
        for band in bands:
            offset, size = (
                int(
                    dataset.get_tag_item(f"BLOCK_{what}_{block[0]}_{block[1]}", "TIFF", bidx=band)
                    or 0
                )
                for what in ("OFFSET", "SIZE")
            )
            if offset + size > end:
                end, last = offset + size, block
    if file_bytes is not None and end > file_bytes:
        raise DamagedRaster(
            f"{name} is cut off: it has {file_bytes:,} bytes of at least {end:,}; send it again"
        )
    with translated(name, dataset.name):
        dataset.read(window=_block_window(dataset, last))


def _block_window(dataset: Dataset, block: tuple[int, int]) -> Window:
    rows, columns = dataset.block_shapes[0]
    left, top = block[0] * columns, block[1] * rows
    return Window(left, top, min(columns, dataset.width - left), min(rows, dataset.height - top))


def _band_by_band(dataset: Dataset) -> bool:
    return bool(dataset.tags(ns="IMAGE_STRUCTURE").get("INTERLEAVE") == "BAND")


def colour_bands(dataset: Dataset) -> tuple[int, ...]:
    """Return the 1-based bands that make the picture: one (gray) or three (red, green, blue)."""
    meaning = dataset.colorinterp
    by_colour = {use: band for band, use in enumerate(meaning, 1)}
    red_green_blue = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    if len(meaning) >= 3 and all(use in by_colour for use in red_green_blue):
        return tuple(by_colour[use] for use in red_green_blue)
    plain = tuple(band for band, use in enumerate(meaning, 1) if use != ColorInterp.alpha)
    return plain[:3] if len(plain) >= 3 else plain[:1]


def alpha_band(dataset: Dataset) -> int | None:
    """Return the 1-based band labelled alpha, if one is."""
    meaning = list(dataset.colorinterp)
    return meaning.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in meaning else None


def no_data_value(dataset: Dataset) -> float | None:
    """Return the value that marks no-data, if pixels can have it: 8 bits are never -9999, nor NaN."""
    value = dataset.nodata
    if value is None or not math.isfinite(value):
        return None
    possible = value.is_integer() and 0 <= value <= np.iinfo(dataset.dtypes[0]).max
    return float(value) if possible else None
