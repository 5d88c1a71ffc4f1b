"""Tells whether a band that is labelled alpha holds a picture, as near infrared does by mistake."""

from __future__ import annotations

import numpy as np

from pavemap.geo.imagery.geotiff import Dataset, alpha_band
from pavemap.geo.imagery.pixels import spread_windows

WINDOWS, SIDE_PX = 4, 64
"""Windows along each side, evenly spread, and how large they are at most."""

CLEARLY = 0.9
"""Below this part of the greatest alpha, a pixel is no opaque one that lossy compression has changed."""

MOST_HALF_TRANSPARENT = 0.5
"""More of an orthophoto than this is no edge that was blended: it is a picture."""


def has_picture_alpha(dataset: Dataset) -> bool:
    """Tell whether most of a sample of the alpha band is neither transparent nor opaque."""
    band = alpha_band(dataset)
    if band is None:
        return False
    sample = spread_windows(dataset, windows=WINDOWS, side_px=SIDE_PX)
    alpha = np.concatenate([dataset.read(band, window=window).ravel() for window in sample])
    opaque = float(alpha.max())  # of 12 bits it is not the type's greatest
    return bool(np.mean((alpha > 0) & (alpha < CLEARLY * opaque)) > MOST_HALF_TRANSPARENT)
