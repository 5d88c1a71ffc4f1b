"""Reads windows of an orthophoto as 8 bit RGBA: colour, and whether there is imagery at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from pavemap.geo.imagery.geotiff import Dataset, alpha_band, colour_bands, no_data_value
from pavemap.geo.imagery.orthophoto import WHOLE_RANGE, MaskKind, Orthophoto, Stretch

RGBA = NDArray[np.uint8]
"""(H, W, 4), alpha 0 or 255, colour 0 wherever alpha is: a picture with premultiplied alpha."""

OPAQUE = 255

FRINGE_PX = 2
"""Pixels beside a no-data area that are dropped: programs blend them with the black outside, and on top
of another tile such a dark rim would look like a crack. Specks and lines of no-data get no rim; where
no-data is a value, they are imagery of that value: cracks are black, too."""

SETTLED_PX = 3 * FRINGE_PX
"""Pixels this far from the edge of a read window are as in any larger window."""


def read_rgba(dataset: Dataset, photo: Orthophoto, window: Window) -> RGBA:
    """Read a window that lies inside the raster, at the raster's own resolution.

    Gray becomes three equal bands; 16 bit values are stretched as the orthophoto says; no-data areas
    grow by FRINGE_PX, and what only has the value of no-data, in specks and lines, is imagery.
    """
    raw = _read_picture(dataset, window)
    alpha = _marked(dataset, photo.mask_kind, window)
    if photo.mask_kind != "none":
        value = no_data_value(dataset)
        # An area may be empty in part by the mark, in part by the value.
        areas = (
            _outside_areas(alpha)
            if value is None
            else _outside_areas(alpha & _other(raw, value), _frame(photo, window))
        )
        alpha = cv2.bitwise_and(alpha, areas).astype(np.uint8)
    stretch = photo.stretch or (WHOLE_RANGE,)
    rgba: RGBA = raw if raw.dtype == np.uint8 else _stretched(raw, stretch)
    rgba[..., 3] = alpha
    empty = alpha == 0
    if empty.any():
        np.copyto(rgba.view(np.uint32)[..., 0], 0, where=empty)
    return rgba


def read_raw(
    dataset: Dataset, mask_kind: MaskKind, window: Window
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Return stored values (H, W, 4), whose fourth band means nothing yet, and alpha (H, W).

    Alpha is 0 where the alpha band or the mask is 0, and where all picture bands hold the no-data
    value; it is OPAQUE elsewhere: what is half transparent was seen all the same.
    """
    raw, alpha = _read_picture(dataset, window), _marked(dataset, mask_kind, window)
    value = None if mask_kind == "none" else no_data_value(dataset)
    if value is not None:
        alpha = alpha & _other(raw, value)
    return raw, alpha


def spread_windows(dataset: Dataset, *, windows: int, side_px: int) -> Iterator[Window]:
    """Yield windows evenly spread over a raster, so many along each side where it has room, row by row."""
    frame = Window(0, 0, dataset.width, dataset.height)
    for row in _starts(dataset.height, windows, side_px):
        for column in _starts(dataset.width, windows, side_px):
            yield Window(column, row, side_px, side_px).intersection(frame)


def _starts(size: int, windows: int, side_px: int) -> list[int]:
    """Return where the windows begin along one side."""
    last = max(size - side_px, 0)
    return sorted({round(last * step / (windows - 1)) for step in range(windows)})


def _read_picture(dataset: Dataset, window: Window) -> NDArray[Any]:
    """Return stored values (H, W, 4), the fourth band 0."""
    bands = colour_bands(dataset)
    raw = np.zeros((int(window.height), int(window.width), 4), dataset.dtypes[0])
    # rasterio writes through the strides, so the bands come out interleaved without a second copy
    dataset.read(bands, window=window, out=raw.transpose(2, 0, 1)[: len(bands)])
    if len(bands) == 1:
        raw[..., 1] = raw[..., 2] = raw[..., 0]
    return raw


def _marked(dataset: Dataset, mask_kind: MaskKind, window: Window) -> NDArray[np.uint8]:
    """Return alpha (H, W): 0 where the alpha band or the mask is, if there is one, else OPAQUE."""
    if mask_kind == "alpha":
        seen = dataset.read(alpha_band(dataset), window=window) != 0
    elif mask_kind == "mask":
        seen = dataset.read_masks(1, window=window) != 0
    else:
        return np.full((int(window.height), int(window.width)), OPAQUE, np.uint8)
    alpha: NDArray[np.uint8] = seen.astype(np.uint8) * np.uint8(OPAQUE)
    return alpha


def _other(raw: NDArray[Any], value: float) -> NDArray[np.uint8]:
    """Return alpha (H, W): 0 where all picture bands hold a value, else OPAQUE."""
    held = cv2.inRange(raw, (value, value, value, 0), (value, value, value, 0))
    return cv2.bitwise_not(held).astype(np.uint8)


Frame = tuple[int, int, int, int]
"""Rows above and below, and columns left and right, of a window that lie outside the raster."""

NO_FRAME: Frame = (0, 0, 0, 0)

_KERNEL = np.ones((2 * FRINGE_PX + 1, 2 * FRINGE_PX + 1), np.uint8)
"""What is narrower is no area."""


def _outside_areas(alpha: NDArray[np.uint8], frame: Frame = NO_FRAME) -> NDArray[np.uint8]:
    """Take all for imagery but no-data areas and what is beside them.

    A strip of no-data along the `frame` is an area however narrow: rasters that were turned or cut have
    such.
    """
    empty = cv2.bitwise_not(alpha)
    framed = cv2.copyMakeBorder(empty, *frame, cv2.BORDER_CONSTANT, value=OPAQUE)
    opened = cv2.morphologyEx(framed, cv2.MORPH_OPEN, _KERNEL)
    top, _, left, _ = frame
    height, width = alpha.shape
    areas = cv2.bitwise_and(opened[top : top + height, left : left + width], empty)
    return cv2.bitwise_not(cv2.dilate(areas, _KERNEL)).astype(np.uint8)


def _frame(photo: Orthophoto, window: Window) -> Frame:
    """How much of the outside of a raster to see around a window."""
    right, bottom = window.col_off + window.width, window.row_off + window.height
    beyond = (
        window.row_off <= 0,
        bottom >= photo.height,
        window.col_off <= 0,
        right >= photo.width,
    )
    top, below, left, beside = (2 * FRINGE_PX * int(side) for side in beyond)
    return top, below, left, beside


def _stretched(raw: NDArray[np.uint16], stretch: Stretch) -> RGBA:
    """Map each band's (low, high) to 0 and 255, clipping; (H, W, 4) like `raw`."""
    rgba = np.empty(raw.shape, np.uint8)
    for band, (low, high) in enumerate(stretch * (3 // len(stretch))):
        above = cv2.subtract(np.ascontiguousarray(raw[..., band]), np.array([low]))
        rgba[..., band] = cv2.convertScaleAbs(above, alpha=OPAQUE / (high - low))
    return rgba
