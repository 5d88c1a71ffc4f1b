"""Tells whether an orthophoto has an empty border that isn't marked as no-data."""

from __future__ import annotations

import numpy as np
from rasterio.windows import Window

from pavemap.geo.imagery.geotiff import Dataset, colour_bands
from pavemap.geo.imagery.orthophoto import MaskKind
from pavemap.geo.imagery.pixels import read_raw

PATCHES, PATCH_PX = 8, 128
"""Patches along each side, evenly spread, and how large they are at most: under half a megapixel in all."""

LEAST = 2
"""Patches of the 28 along the frame that must be empty: one may be the shadow in a corner."""


def empty_values(dataset: Dataset) -> tuple[int, int]:
    """Return what all picture bands hold where a raster is empty: 0, or the highest that they can."""
    bits = dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS")
    return 0, int(np.iinfo(dataset.dtypes[0]).max) if bits is None else 2 ** int(bits) - 1


def empty_border(dataset: Dataset, mask_kind: MaskKind) -> int | None:
    """Return the value of an empty border that counts as imagery, one of `empty_values`, or None.

    Only patches along the frame are read, whatever the raster's size and layout. What is empty fills
    whole patches with the very same value; a shadow or an overexposed line of paint hardly does.
    """
    bands = len(colour_bands(dataset))
    found = dict.fromkeys(empty_values(dataset), 0)
    for window in _along_frame(dataset.width, dataset.height):
        raw, alpha = read_raw(dataset, mask_kind, window)
        value = int(raw[0, 0, 0])
        if value in found and alpha.all() and (raw[..., :bands] == value).all():
            found[value] += 1
    value = max(found, key=lambda each: found[each])
    return value if found[value] >= LEAST else None


def _along_frame(width: int, height: int) -> list[Window]:
    """Return the patches that touch the frame, from top to bottom: those of one block follow each other."""
    wide, high = (max(1, min(PATCH_PX, side // PATCHES)) for side in (width, height))
    columns, rows = _starts(width - wide), _starts(height - high)
    return [
        Window(column, row, wide, high)
        for row in rows
        for column in columns
        if row in (rows[0], rows[-1]) or column in (columns[0], columns[-1])
    ]


def _starts(last: int) -> list[int]:
    return sorted({round(last * step / (PATCHES - 1)) for step in range(PATCHES)})
