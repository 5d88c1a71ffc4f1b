"""Chips over HTTP: what a client sends becomes RGB pixels, a probability map becomes a PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence

import cv2
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError

from pavemap.geo.errors import BadInput
from pavemap.geo.imagery.geotiff import CLASSIC_TIFF
from pavemap.training.data.image_files import driver_of, opened

Pixels = NDArray[np.uint8]

NPY_MAGIC = b"\x93NUMPY"
DRIVERS = {b"\x89PNG\r\n\x1a\n": "PNG", **dict.fromkeys(CLASSIC_TIFF, "GTiff")}
"""First bytes of a body and the one GDAL driver that may read it."""

ADVICE = "send an 8-bit RGB or grey PNG, TIFF, or .npy of (height, width, 3)"


class ChipTooLarge(BadInput):
    """The chip has more pixels than this service takes in one request (HTTP 413)."""


def decode_chip(body: bytes, *, max_px: int) -> Pixels:
    """Return (H, W, 3) uint8 RGB; grey is spread over three bands, alpha is dropped.

    The size is read from the header before anything is unpacked. Raises BadInput or ChipTooLarge.
    """
    if body.startswith(NPY_MAGIC):
        return _as_rgb(_decode_npy(body, max_px=max_px))
    driver = driver_of(body, DRIVERS)
    if driver is None:
        raise BadInput(f"this body is no picture that is understood here; {ADVICE}")
    try:
        with (
            rasterio.Env(GDAL_PAM_ENABLED=False, GDAL_PNG_WHOLE_IMAGE_OPTIM=False),
            opened(body, driver) as source,
        ):
            _check_size(source.height, source.width, max_px=max_px)
            _check_bands(source.count)
            _check_blocks(source.block_shapes, max_px=max_px)
            if any(dtype != "uint8" for dtype in source.dtypes):
                raise BadInput(f"its pixels are {source.dtypes[0]}; {ADVICE}")
            _check_tones(source)
            bands = source.read()
    except RasterioError as exc:
        raise BadInput(f"the picture can't be read, it may be cut off; {ADVICE}") from exc
    return _as_rgb(np.moveaxis(bands, 0, 2))


def encode_probability(probability: Pixels) -> bytes:
    """Return a (H, W) probability map, 255 = certain, as an 8-bit grey PNG."""
    done, png = cv2.imencode(".png", probability, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise RuntimeError(f"a probability map of {probability.shape} could not be made a PNG")
    return png.tobytes()


def _decode_npy(body: bytes, *, max_px: int) -> Pixels:
    stream = io.BytesIO(body)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran, dtype = read_header(stream)
    except (ValueError, KeyError) as exc:
        raise BadInput(f"the .npy header can't be read; {ADVICE}") from exc
    if dtype != np.uint8 or len(shape) not in (2, 3) or min(shape) < 0:
        raise BadInput(f"the array is {shape} of {dtype}; {ADVICE}")
    _check_size(shape[0], shape[1], max_px=max_px)
    data = np.frombuffer(body, np.uint8, offset=stream.tell())
    if data.size != int(np.prod(shape)):
        raise BadInput(f"the .npy holds {data.size} bytes where {shape} was announced; {ADVICE}")
    array: Pixels = data.reshape(shape, order="F" if fortran else "C")
    return array[:, :, None] if array.ndim == 2 else array


def _check_size(height: int, width: int, *, max_px: int) -> None:
    if height * width > max_px:
        raise ChipTooLarge(
            f"{width} x {height} pixels are more than the {max_px} of one request; cut it into chips"
        )
    if not height * width:
        raise BadInput(f"the picture has no pixels; {ADVICE}")


def _check_tones(source: rasterio.DatasetReader) -> None:
    """Numbers of colours, and inks, are no light."""
    meaning = source.colorinterp
    if ColorInterp.palette in meaning:
        raise BadInput(f"it stores colours by number (a palette); {ADVICE}")
    if ColorInterp.cyan in meaning:
        raise BadInput(f"it is in printing colours (CMYK); {ADVICE}")
    if "MINISWHITE" in source.tags(ns="IMAGE_STRUCTURE"):
        raise BadInput(f"its tones are inverted (MinIsWhite); {ADVICE}")


def _check_bands(bands: int) -> None:
    if bands not in (1, 2, 3, 4):
        raise BadInput(f"it has {bands} bands; {ADVICE}")


def _check_blocks(shapes: Sequence[tuple[int, int]], *, max_px: int) -> None:
    """A block is unpacked whole, however little of it lies in the picture."""
    if any(rows * columns > max_px for rows, columns in shapes):
        raise ChipTooLarge(f"its blocks have more than {max_px} pixels; {ADVICE}")


def _as_rgb(pixels: Pixels) -> Pixels:
    bands = pixels.shape[2]
    _check_bands(bands)
    color = np.repeat(pixels[:, :, :1], 3, axis=2) if bands < 3 else pixels[:, :, :3]
    return np.ascontiguousarray(color)
