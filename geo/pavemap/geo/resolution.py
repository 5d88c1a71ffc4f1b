"""How narrow a crack a pixel can show."""

from __future__ import annotations

SMALLEST_WIDTH_PX = 1.0
"""See `smallest_width_mm`."""


def smallest_width_mm(gsd_m: float) -> float:
    """Return the narrowest crack, in millimetres, whose width pixels of `gsd_m` metres can show: one pixel.

    A narrower crack only darkens its pixels, by as much as it is a part of them. It may well be found,
    but then as a line about a pixel wide: a mask and the labels that networks learn from know no less,
    and how much of a faint pixel is width and how much is contrast can't be told apart.
    """
    return 1000.0 * gsd_m * SMALLEST_WIDTH_PX
