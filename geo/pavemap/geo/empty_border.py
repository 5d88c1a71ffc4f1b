"""Tells whether an orthophoto has an empty border that nothing marks as no-data."""

from __future__ import annotations

import numpy as np
from rasterio.windows import Window

from pavemap.geo.geotiff import Dataset, colour_bands

PATCHES, PATCH_PX = 8, 128
"""Patches along each side, evenly spread, and how large they are at most: under half a megapixel in all."""

LEAST = 2
"""Patches of the 28 along the frame that must be empty: one may be the shadow in a corner."""


def empty_border(dataset: Dataset) -> int | None:
    """Return the value of an empty border, all picture bands 0 or all at their highest, or None.

    Only patches along the frame are read, whatever the raster's size and layout. What is empty fills
    whole patches with the very same value; a shadow or an overexposed line of paint hardly does.
    """
    bits = dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS")
    highest = np.iinfo(dataset.dtypes[0]).max if bits is None else 2 ** int(bits) - 1
    bands = colour_bands(dataset)
    found = {0: 0, int(highest): 0}
    for window in _along_frame(dataset.width, dataset.height):
        patch = dataset.read(bands, window=window)
        value = int(patch[0, 0, 0])
        if value in found and (patch == value).all():
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
