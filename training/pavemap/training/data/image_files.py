"""What OpenCV doesn't tell of an image file: its format, its orientation, its palette's indices."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader, MemoryFile

from pavemap.geo.imagery.geotiff import BIG_TIFF, CLASSIC_TIFF
from pavemap.training.errors import BadTrainingData

DRIVERS = {
    b"\x89PNG": "PNG",
    b"\xff\xd8": "JPEG",
    b"BM": "BMP",
    **dict.fromkeys((*CLASSIC_TIFF, *BIG_TIFF), "GTiff"),
}
"""GDAL's drivers by the first bytes of a file: no other one ever looks into it."""

MAX_IMAGE_BYTES = 1 << 30
MAX_IMAGE_PX = 150_000_000
"""Decoded, with its mask: some 600 MB."""

ORIENTATION = 0x0112  # the tag's number, in EXIF and in TIFF


def driver_of(content: bytes, drivers: Mapping[bytes, str] = DRIVERS) -> str | None:
    """GDAL's driver of a file's format, of those by first bytes; None where it is none of them."""
    return next((name for start, name in drivers.items() if content.startswith(start)), None)


def _is_turned(content: bytes) -> bool:
    """Whether an image says that it is to be turned or mirrored for show (EXIF orientation)."""
    block = _tags(content)
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return False
    try:
        (first,) = struct.unpack_from(f"{order}I", block, 4)
        (count,) = struct.unpack_from(f"{order}H", block, first)
        for entry in range(count):
            place = first + 2 + 12 * entry
            (tag,) = struct.unpack_from(f"{order}H", block, place)
            if tag == ORIENTATION:
                (way,) = struct.unpack_from(f"{order}H", block, place + 8)
                return way in range(2, 9)
    except struct.error:  # cut short: it says nothing
        return False
    return False


@dataclass(frozen=True)
class Header:
    """What an image file says of itself before anything is decoded."""

    width: int
    height: int
    dtype: str
    has_alpha: bool


def _header_of(content: bytes) -> Header | None:
    """An image's header; None where it is none."""
    driver = driver_of(content)
    if driver is None:
        return None
    try:
        with opened(content, driver) as image:
            alpha = ColorInterp.alpha in image.colorinterp
            return Header(image.width, image.height, image.dtypes[0], alpha)
    except RasterioError:
        return None


@contextmanager
def opened(content: bytes, driver: str) -> Iterator[DatasetReader]:
    """Open an image by one driver of GDAL's, with or without coordinates. Raises RasterioError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with MemoryFile(content) as file, file.open(driver=driver) as image:
            yield image


def image_bytes(path: Path) -> bytes:
    """The bytes of an image file. Raises BadTrainingData when it can't be read, or is too large."""
    try:
        if path.stat().st_size > MAX_IMAGE_BYTES:
            raise BadTrainingData(f"{path} has over {MAX_IMAGE_BYTES >> 20} MiB; cut it into parts")
        return path.read_bytes()
    except OSError as exc:
        raise BadTrainingData(f"can't read {path}: {exc.strerror}") from exc


def upright(path: Path, content: bytes) -> Header:
    """The header of an image that is shown as it is stored: of another, who knows which way labels are.

    Raises BadTrainingData when it has none, has too many pixels, or is to be turned for show.
    """
    header = _header_of(content)
    if header is None:
        raise unreadable(path)
    if header.width * header.height > MAX_IMAGE_PX:
        raise BadTrainingData(
            f"{path} has {header.width} x {header.height} pixels; cut it into parts of at most "
            f"{MAX_IMAGE_PX // 1_000_000} million"
        )
    if _is_turned(content):
        raise BadTrainingData(
            f"{path} is to be turned for show (EXIF orientation), so its labels may be of either way up; "
            "save it upright, and label that"
        )
    return header


def check_8_bits(path: Path, header: Header) -> None:
    """Raise BadTrainingData for an image of more than 8 bits: how dark its values are, nobody says."""
    if header.dtype != "uint8":
        raise BadTrainingData(
            f"{path} holds values of {header.dtype}, and images are taught from 8 bits; save it as 8 bit, "
            "or label GeoTIFFs in a GIS (pavemap training-data import-gis), which reads them as surveys do"
        )


def unreadable(path: Path) -> BadTrainingData:
    """What to raise of a file that is no image, or a torn one."""
    return BadTrainingData(f"{path} can't be read as an image; is it complete?")


def palette_indices(content: bytes) -> NDArray[np.uint8] | None:
    """The numbers (H, W) that an image with a palette holds, not the colours that they stand for.

    None where an image has no palette, or can't be read.
    """
    driver = driver_of(content)
    if driver is None:
        return None
    try:
        with opened(content, driver) as image:
            if image.colorinterp[0].name != "palette":
                return None
            indices: NDArray[np.uint8] = image.read(1)
    except RasterioError:
        return None
    return indices


def _tags(content: bytes) -> bytes:
    """The block of tags, laid out as a TIFF's: that of a JPEG, of a PNG, or a TIFF itself."""
    if content.startswith(CLASSIC_TIFF):
        return content
    for start, marker in ((b"\xff\xd8", b"Exif\0\0"), (b"\x89PNG", b"eXIf")):
        place = content.find(marker) + len(marker)
        if content.startswith(start) and place >= len(marker):
            return content[place : place + 65536]
    return b""
