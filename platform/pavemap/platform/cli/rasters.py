"""The imagery that a command is given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pavemap.platform.cli.console import note


def rasters_at(places: Sequence[str]) -> list[Path]:
    """Return the GeoTIFFs at places (`find_rasters`), saying what is left out and which masks are.

    Raises BadInput.
    """
    from pavemap.platform.raster_paths import find_rasters, left_out

    paths = find_rasters(places)
    for unread in left_out(places):
        note(f"Warning: {unread}")
    warn_of_masks_beside(paths)
    return paths


def warn_of_masks_beside(paths: Sequence[Path]) -> None:
    """Say so where masks lie in files of their own (`masks_beside`)."""
    from pavemap.platform.raster_paths import masks_beside

    if unread := masks_beside(paths):
        note(f"Warning: {unread}")
